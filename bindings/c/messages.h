/* Messages of docs/protocol.md: bytes to structs and back. Nothing of the sidecar's is believed before it was checked. */
#ifndef INH_MESSAGES_H
#define INH_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "msgpack.h"
#include "names.h"

enum {
    INH_WIRE_VERSION = 1,
    INH_MAX_PARTS = 4,
    INH_MAX_HEADER = 65536,
    INH_MAX_SIDE = 8192,
    INH_MAX_ACTIONS = 256,
    INH_MAX_HELD = 64,
    INH_REQUEST_BYTES = 4608, /* the longest STEP: 2 * 64 names, 6 axes, 256 numbers */
    INH_TEXT = 516
};

enum inh_kind {
    INH_HELLO = 0x01, INH_INPUT, INH_STEP, INH_CREDIT, INH_SET, INH_RESET, INH_PAUSE, INH_RESUME, INH_PROMPT = 0x0b,
    INH_PING, INH_ATTACHED = 0x12, INH_BYE = 0x7f,
    INH_WELCOME = 0x41, INH_STATE, INH_STEPPED, INH_FRAME, INH_ACK, INH_PONG, INH_ERROR, INH_RING = 0x4e
};

typedef enum { INH_CTL, INH_VID, INH_CHANNELS } inh_channel;

/* -------------------------------------------------------------------------------------------------------------- input */

typedef struct {
    uint64_t held[2], pressed[2]; /* a bit for each of inh_buttons */
    double axes[INH_AXES];
    double dx, dy, scroll;
    uint16_t action_count; /* 0: devices */
    float action[INH_MAX_ACTIONS];
} inh_controls;

/* ------------------------------------------------------------------------------------------------------ to the sidecar */

/* Each writes version, type and header. `w->bad` afterwards: it did not fit. */
typedef struct {
    const char *name;
    bool lockstep, shared_memory;
    const uint8_t *session, *secret; /* NULL: a new session */
    uint64_t epoch;                  /* the newest that was seen */
} inh_hello;
void inh_write_hello(inh_writer *w, inh_channel channel, const inh_hello *hello);
void inh_write_input(inh_writer *w, uint64_t seq, uint64_t epoch, int64_t t_ns, const inh_controls *controls);
void inh_write_step(inh_writer *w, uint64_t request, int64_t t_ns, const inh_controls *controls);
void inh_write_credit(inh_writer *w, uint64_t upto);
void inh_write_reset(inh_writer *w, uint64_t request, int64_t seed, int64_t t_ns); /* seed below 0: none */
void inh_write_set(inh_writer *w, uint64_t request, const char *name, double value);
void inh_write_prompt(inh_writer *w, uint64_t request, const char *text);
void inh_write_plain(inh_writer *w, enum inh_kind kind, uint64_t request); /* PAUSE, RESUME */
void inh_write_attached(inh_writer *w, bool ok);
void inh_write_ping(inh_writer *w, int64_t t_ns);
void inh_write_bye(inh_writer *w, const char *reason);

/* ---------------------------------------------------------------------------------------------------- from the sidecar */

typedef struct {
    uint64_t epoch, number, index, input_seq, input_t_ns, received_ns, sampled_ns, done_ns, skipped;
    uint32_t width, height, sound_samples, sound_channels, slot;
    uint64_t generation;
    double reward;
    bool terminated, truncated;
} inh_frame_header;

typedef struct {
    uint32_t width, height, sound_rate_hz, sound_channels, actions, prompts;
    double rate_hz;
    char name[260], title[1028];
    size_t actions_at, prompts_at; /* where these arrays begin in the header of WELCOME */
} inh_world;

typedef struct {
    uint64_t input_timeout_ms, input_resend_ms, hang_ms, requests_max;
} inh_limits;

/* One message; which fields are set depends on `kind`, the others are 0. */
typedef struct {
    uint8_t kind; /* 0: of a kind that we do not know, to be ignored */
    uint64_t request, epoch, frame_index, made, late, busy_ms, t_ns;
    uint64_t lowest, highest; /* wire versions, of ERROR */
    uint64_t frames;          /* of WELCOME: number of the newest frame that was sent */
    bool resumed;             /* of WELCOME: the session went on after its connection broke */
    uint32_t slots, slot_bytes;
    char ring[260];
    int state;                /* enum inhabit_state */
    bool video;
    char code[36], text[INH_TEXT];
    uint8_t session[16], secret[16], boot[16];
    inh_frame_header frame;
    inh_world world;
    inh_limits limits;
} inh_message;

/* Read the first part. NULL when it is fine, else what was expected and what was got; *version is the sender's. */
const char *inh_read_message(const uint8_t *bytes, size_t size, inh_message *message, int *version);

/* Read the action or the prompt number `index` out of a WELCOME's header. False when there is none such. */
bool inh_read_action(
    const uint8_t *welcome, size_t size, const inh_world *world, uint32_t index, char *name, size_t name_capacity,
    char *keys, size_t keys_capacity, bool *analog);
bool inh_read_prompt(
    const uint8_t *welcome, size_t size, const inh_world *world, uint32_t index, char *text, size_t capacity);

#endif
