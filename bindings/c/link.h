/* One session as its client sees it: what to say when, what the sidecar said, and when to call it lost.
   No socket, clock or thread in here. Everything that is said here may be said twice. */
#ifndef INH_LINK_H
#define INH_LINK_H

#include "inhabit.h"
#include "messages.h"
#include "ring.h"
#include "sound.h"

#include <zmq.h>

enum { INH_QUEUE = 16, INH_ANSWERS = 16 };

/* A message that arrived. */
typedef struct {
    zmq_msg_t parts[INH_MAX_PARTS];
    int count;
} inh_packet;

/* A request without an answer. */
typedef struct {
    uint64_t id;
    int64_t sent_ns; /* below 0: not yet */
    size_t size;
    uint8_t bytes[INH_REQUEST_BYTES];
} inh_request;

typedef struct {
    uint64_t id; /* 0: none */
    int result;  /* INHABIT_OK or an error */
    bool stepped;
    uint64_t epoch, frame;
    char text[INH_TEXT];
} inh_answer;

/* A frame and its pixels, which lie in the message that brought them or in the ring. */
typedef struct {
    bool full;
    uint64_t request; /* that it answers, in lock-step */
    int64_t arrived_ns;
    inh_frame_header header;
    zmq_msg_t pixels;
} inh_picture;

typedef struct {
    int state; /* enum inhabit_state */
    int end;   /* INHABIT_ERROR_* once nothing will come any more, else 0 */
    char reason[INH_TEXT];

    bool joined;
    inh_world world;
    inh_limits limits;
    uint8_t *welcome; /* its header, for lists that are read later */
    size_t welcome_size;
    uint64_t epoch, made, late;
    int64_t round_trip_ns; /* below 0: unknown */

    bool lockstep, shared_memory;
    char endpoint[256], name[260];
    int64_t timeout_ns, begun_ns, flushed_ns, silent_ns, heard_ns; /* heard_ns below 0: never */
    int64_t hello_ns[INH_CHANNELS], ping_ns, input_ns, granted_ns; /* below 0: never */
    int told_state; /* of the last STATE, 0 before */
    bool video;
    uint8_t session[16], secret[16], boot[16];
    uint64_t newest_answer;

    inh_request queue[INH_QUEUE];
    int queued;
    uint64_t newest_request;
    inh_answer answers[INH_ANSWERS];
    int next_answer;

    inh_controls controls, spoken; /* as the caller has it; as it was said last, for repetition */
    bool dirty, has_spoken;
    uint64_t seq, spoken_seq, spoken_epoch;
    int64_t controls_ns;

    uint64_t seen, wanted, granted;
    inh_picture picture;
    inh_ring ring;
    int ring_misses;
    enum { INH_SILENT, INH_YES, INH_NO } attach; /* what there is to answer to RING */
    inh_sound sound;
} inh_link;

/* Hands a message to the transport; false when it did not take it. */
typedef bool (*inh_send)(void *transport, inh_channel channel, const uint8_t *bytes, size_t size);

void inh_link_init(inh_link *link, const char *endpoint, const char *name, bool lockstep, int64_t timeout_ns, int64_t now_ns);
void inh_link_free(inh_link *link);

/* Take one message of the sidecar; its parts stay the caller's, but for pixels, which move. */
void inh_link_receive(inh_link *link, inh_packet *packet, int64_t now_ns);

/* Say everything that is due. Call it after the messages that have arrived were received. */
void inh_link_flush(inh_link *link, inh_send send, void *transport, int64_t now_ns);

/* End the session; form and what follows as for printf. */
void inh_link_end(inh_link *link, int state, int error, const char *form, ...);

/* Room for a request, NULL when too many wait. Write to it as `inh_request_writer` says, then inh_link_queue(). */
inh_request *inh_link_request(inh_link *link);
bool inh_link_queue(inh_link *link, inh_request *request, const inh_writer *written);
inh_writer inh_request_writer(inh_request *request);

/* What came of a request; NULL while there is no answer. */
const inh_answer *inh_link_answer(const inh_link *link, uint64_t request);

/* The controls changed. */
void inh_link_touch(inh_link *link, int64_t now_ns);

/* What happened was said: only what is held stays. */
void inh_forget_events(inh_controls *controls);

/* The picture's pixels; NULL when the ring holds other ones by now. Ask again after you copied: they must not change. */
const uint8_t *inh_link_pixels(const inh_link *link);

/* The picture was taken (true), or was gone (false), and another one shall come. */
void inh_link_taken(inh_link *link, bool shown);

/* The caller is ready to draw: grant one frame beyond those that have arrived. */
void inh_link_want_frame(inh_link *link);

#endif
