#include "link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t SECOND = 1000000000, NEVER = -1;

/* After so many frames of the ring that were gone before they were read, one after the other, the wire must do. */
enum { RING_MISSES = 3 };

void inh_link_init(inh_link *l, const char *endpoint, const char *name, bool lockstep, int64_t timeout_ns, int64_t now_ns) {
    memset(l, 0, sizeof *l);
    snprintf(l->endpoint, sizeof l->endpoint, "%s", endpoint);
    snprintf(l->name, sizeof l->name, "%s", name);
    l->limits = (inh_limits){.input_timeout_ms = 250, .input_resend_ms = 100, .hang_ms = 2000, .requests_max = 16};
    l->lockstep = lockstep;
    l->ring.file = -1;
    l->timeout_ns = timeout_ns;
    l->begun_ns = l->flushed_ns = l->granted_ns = now_ns;
    l->heard_ns = l->round_trip_ns = l->hello_ns[INH_CTL] = l->hello_ns[INH_VID] = NEVER;
    l->ping_ns = l->input_ns = now_ns - SECOND;
}

void inh_link_free(inh_link *l) {
    if (l->picture.full) zmq_msg_close(&l->picture.pixels);
    inh_ring_close(&l->ring);
    inh_sound_free(&l->sound);
    free(l->welcome);
    l->welcome = NULL;
    l->picture.full = false;
}

void inh_link_end(inh_link *l, int state, int error, const char *form, ...) {
    if (l->end) return;
    va_list values;
    va_start(values, form);
    inh_format(l->reason, sizeof l->reason, form, values);
    va_end(values);
    l->state = state;
    l->end = error;
}

static void breach(inh_link *l, const char *text) {
    inh_link_end(l, INHABIT_FAILED, INHABIT_ERROR_PROTOCOL, "%s - from %s", text, l->endpoint);
}

/* ----------------------------------------------------------------------------------------------------------- requests */

inh_request *inh_link_request(inh_link *l) {
    if (l->queued == INH_QUEUE) return NULL;
    inh_request *request = &l->queue[l->queued];
    request->id = l->newest_request + 1;
    request->sent_ns = NEVER;
    return request;
}

inh_writer inh_request_writer(inh_request *request) {
    return (inh_writer){request->bytes, request->bytes + sizeof request->bytes, false};
}

bool inh_link_queue(inh_link *l, inh_request *request, const inh_writer *written) {
    if (written->bad) return false;
    request->size = (size_t)(written->at - request->bytes);
    l->newest_request = request->id;
    l->queued++;
    return true;
}

const inh_answer *inh_link_answer(const inh_link *l, uint64_t request) {
    for (int i = 0; i < INH_ANSWERS; i++)
        if (request && l->answers[i].id == request) return &l->answers[i];
    return NULL;
}

/* Cross a request off. NULL when nobody waits for it: a repeated answer. */
static inh_answer *answered(inh_link *l, uint64_t id, int result) {
    for (int i = 0; i < l->queued; i++) {
        if (l->queue[i].id != id) continue;
        l->queued--;
        if (id > l->newest_answer) l->newest_answer = id;
        memmove(&l->queue[i], &l->queue[i + 1], (size_t)(l->queued - i) * sizeof *l->queue);
        inh_answer *answer = &l->answers[l->next_answer];
        l->next_answer = (l->next_answer + 1) % INH_ANSWERS;
        *answer = (inh_answer){.id = id, .result = result};
        return answer;
    }
    return NULL;
}

/* -------------------------------------------------------------------------------------------------------- messages in */

static void drop_picture(inh_link *l) {
    if (l->picture.full) zmq_msg_close(&l->picture.pixels);
    l->picture.full = false;
}

static void saw_epoch(inh_link *l, uint64_t epoch) {
    if (epoch <= l->epoch) return;
    l->epoch = epoch;
    if (l->picture.full) inh_link_want_frame(l);
    drop_picture(l);
    inh_sound_clear(&l->sound);
}

/* WELCOME again: because a HELLO was said twice, or because the session goes on after its connection broke. */
static void welcome_back(inh_link *l, const inh_message *m) {
    if (m->world.width != l->world.width || m->world.height != l->world.height) {
        breach(l, "Expected the world of the first WELCOME, got one of another size");
        return;
    }
    if (l->lockstep && m->resumed && m->request < l->newest_answer) {
        inh_link_end(l, INHABIT_LOST, INHABIT_ERROR_LOST,
                     "The sidecar died, and its world is back where it was some steps before: open a new client");
        return;
    }
    bool other = memcmp(m->session, l->session, 16) != 0;
    if (other || memcmp(m->boot, l->boot, 16) != 0) { /* nothing is attached there */
        l->hello_ns[INH_VID] = NEVER;
        l->video = false;
    }
    if (other) l->seen = l->granted = 0, l->wanted = 1;
    if (m->resumed) { /* what was on its way is lost, and so is credit for it */
        if (m->frames > l->seen) l->seen = m->frames;
        l->granted = l->seen;
        l->wanted = l->seen + 1;
    }
    memcpy(l->session, m->session, 16);
    memcpy(l->secret, m->secret, 16);
    memcpy(l->boot, m->boot, 16);
    saw_epoch(l, m->epoch);
}

static void hear_welcome(inh_link *l, const inh_message *m, const uint8_t *bytes, size_t size) {
    if (l->joined) {
        welcome_back(l, m);
        return;
    }
    uint8_t *copy = malloc(size);
    if (!copy || !inh_sound_init(&l->sound, m->world.sound_rate_hz, m->world.sound_channels)) {
        free(copy);
        inh_link_end(l, INHABIT_FAILED, INHABIT_ERROR_SYSTEM, "Out of memory for the world");
        return;
    }
    memcpy(copy, bytes, size);
    l->welcome = copy;
    l->welcome_size = size;
    l->world = m->world;
    l->limits = m->limits;
    memcpy(l->session, m->session, 16);
    memcpy(l->secret, m->secret, 16);
    memcpy(l->boot, m->boot, 16);
    l->joined = true;
    saw_epoch(l, m->epoch);
}

static void hear_state(inh_link *l, const inh_message *m) {
    l->silent_ns = 0;
    l->told_state = m->state;
    l->video = m->video;
    l->made = m->made;
    l->late = m->late;
    saw_epoch(l, m->epoch);
    if (m->state == INHABIT_FAILED) {
        const char *why = m->text[0] ? m->text : l->reason[0] ? l->reason : "The world failed";
        inh_link_end(l, INHABIT_FAILED, INHABIT_ERROR_FAILED, "%s", why);
        return;
    }
    if (m->state != l->state) l->reason[0] = 0;
    /* Until WELCOME the world is not ours to play, whatever state it is in. */
    l->state = l->joined ? m->state : INHABIT_LOADING;
    if (m->state == INHABIT_LOADING && m->busy_ms >= 1000)
        snprintf(l->reason, sizeof l->reason, "loading for %llu s", (unsigned long long)(m->busy_ms / 1000));
}

static int error_of(const char *code) {
    static const struct { const char *code; int error; } ERRORS[] = {
        {"version", INHABIT_ERROR_VERSION}, {"busy", INHABIT_ERROR_FULL}, {"pending", INHABIT_ERROR_FULL},
        {"quota", INHABIT_ERROR_FULL}, {"bad_message", INHABIT_ERROR_PROTOCOL}, {"wrong_state", INHABIT_ERROR_ORDER},
        {"wrong_mode", INHABIT_ERROR_ORDER}, {"world_failed", INHABIT_ERROR_FAILED},
    };
    for (size_t i = 0; i < sizeof ERRORS / sizeof *ERRORS; i++)
        if (strcmp(ERRORS[i].code, code) == 0) return ERRORS[i].error;
    return INHABIT_ERROR_REFUSED;
}

static void hear_error(inh_link *l, const inh_message *m) {
    const char *text = m->text[0] ? m->text : m->code;
    if (strcmp(m->code, "no_session") == 0) { /* our connection was replaced by a new one: say who we are */
        l->hello_ns[INH_CTL] = l->hello_ns[INH_VID] = NEVER;
    } else if (strcmp(m->code, "closed") == 0) {
        inh_link_end(l, INHABIT_LOST, INHABIT_ERROR_LOST, "The session is over: %.400s; open a new client", text);
    } else if (strcmp(m->code, "version") == 0) {
        inh_link_end(l, INHABIT_FAILED, INHABIT_ERROR_VERSION,
                     "%.400s (this client speaks wire version %d, the sidecar %llu to %llu)", text, INH_WIRE_VERSION,
                     (unsigned long long)m->lowest, (unsigned long long)m->highest);
    } else if (!l->joined || strcmp(m->code, "world_failed") == 0) {
        inh_link_end(l, INHABIT_FAILED, error_of(m->code), "%s", text);
    } else {
        snprintf(l->reason, sizeof l->reason, "%s", text);
        inh_answer *answer = answered(l, m->request, error_of(m->code));
        if (answer) snprintf(answer->text, sizeof answer->text, "%s", text);
    }
}

static void hear_ring(inh_link *l, const inh_message *m) {
    drop_picture(l);
    inh_ring_close(&l->ring);
    bool large_enough = m->slot_bytes >= (uint64_t)l->world.width * l->world.height * 3 + 16;
    l->ring_misses = 0;
    l->attach = l->shared_memory && large_enough && inh_ring_open(&l->ring, m->ring, m->slots, m->slot_bytes) ? INH_YES : INH_NO;
}

const uint8_t *inh_link_pixels(const inh_link *l) {
    const inh_frame_header *h = &l->picture.header;
    if (!h->slot) return zmq_msg_data((zmq_msg_t *)&l->picture.pixels);
    return inh_ring_pixels(&l->ring, h->slot, h->generation, (size_t)h->width * h->height * 3);
}

void inh_link_taken(inh_link *l, bool shown) {
    drop_picture(l);
    l->ring_misses = shown ? 0 : l->ring_misses + 1;
    if (shown) return;
    if (l->ring_misses == RING_MISSES) l->attach = INH_NO;
    inh_link_want_frame(l);
}

/* Hold the parts against what the header says, then keep the newest picture. */
static void take_in(inh_link *l, const inh_message *m, inh_packet *packet, int64_t now_ns) {
    const inh_frame_header *h = &m->frame;
    char told[200];
    size_t sound_bytes = (size_t)h->sound_samples * h->sound_channels * 2;
    size_t pixel_bytes = (size_t)h->width * h->height * 3;
    int sound_part = h->slot ? 1 : 2; /* pixels in the ring are no part */
    if (packet->count != sound_part + (sound_bytes ? 1 : 0) ||
        (!h->slot && zmq_msg_size(&packet->parts[1]) != pixel_bytes) ||
        (sound_bytes && zmq_msg_size(&packet->parts[sound_part]) != sound_bytes)) {
        snprintf(told, sizeof told, "Expected a frame with parts of %zu and %zu bytes, got %d parts of other sizes",
                 pixel_bytes, sound_bytes, packet->count);
        breach(l, told);
        return;
    }
    if (h->number > l->seen) l->seen = h->number;
    if (h->epoch < l->epoch) { /* made before the reset, and not what the caller waits for */
        inh_link_want_frame(l);
        return;
    }
    if (h->width != l->world.width || h->height != l->world.height) {
        snprintf(told, sizeof told, "Expected frames of %ux%u, got %ux%u", l->world.width, l->world.height, h->width,
                 h->height);
        breach(l, told);
        return;
    }
    saw_epoch(l, h->epoch);
    if (sound_bytes && h->sound_channels == l->sound.channels)
        inh_sound_put(&l->sound, zmq_msg_data(&packet->parts[sound_part]), h->sound_samples);
    drop_picture(l);
    l->picture.full = true;
    l->picture.header = *h;
    l->picture.request = m->request;
    l->picture.arrived_ns = now_ns;
    zmq_msg_init(&l->picture.pixels);
    if (!h->slot) zmq_msg_move(&l->picture.pixels, &packet->parts[1]);
}

void inh_link_receive(inh_link *l, inh_packet *packet, int64_t now_ns) {
    if (l->end) return;
    inh_message m;
    int version;
    const uint8_t *bytes = zmq_msg_data(&packet->parts[0]);
    size_t size = zmq_msg_size(&packet->parts[0]);
    const char *wrong = inh_read_message(bytes, size, &m, &version);
    if (wrong && version != INH_WIRE_VERSION) {
        inh_link_end(l, INHABIT_FAILED, INHABIT_ERROR_VERSION,
                     "Expected wire version %d, got %d - from %s; use the same release on both sides",
                     INH_WIRE_VERSION, version, l->endpoint);
        return;
    }
    if (wrong) {
        breach(l, wrong);
        return;
    }
    if (!l->joined && (m.kind == INH_ACK || m.kind == INH_STEPPED || m.kind == INH_FRAME || m.kind == INH_RING)) {
        breach(l, "Expected no answers and no frames before WELCOME");
        return;
    }
    l->heard_ns = now_ns;
    inh_answer *answer;
    switch (m.kind) {
        case INH_WELCOME: hear_welcome(l, &m, bytes, size); break;
        case INH_STATE: hear_state(l, &m); break;
        case INH_FRAME: take_in(l, &m, packet, now_ns); break;
        case INH_RING: hear_ring(l, &m); break;
        case INH_STEPPED:
            answer = answered(l, m.request, INHABIT_OK);
            if (!answer) break; /* the same answer again, to a request that was repeated */
            answer->stepped = true;
            answer->epoch = m.frame.epoch;
            answer->frame = m.frame.index;
            take_in(l, &m, packet, now_ns);
            break;
        case INH_ACK:
            saw_epoch(l, m.epoch);
            answer = answered(l, m.request, INHABIT_OK);
            if (!answer) break;
            answer->epoch = m.epoch;
            answer->frame = m.frame_index;
            snprintf(answer->text, sizeof answer->text, "%s", m.text);
            break;
        case INH_ERROR: hear_error(l, &m); break;
        case INH_PONG:
            if (m.t_ns <= (uint64_t)now_ns) l->round_trip_ns = now_ns - (int64_t)m.t_ns;
            break;
        case INH_BYE:
            inh_link_end(l, INHABIT_LOST, INHABIT_ERROR_LOST, "The sidecar ended the session: %.440s",
                         m.text[0] ? m.text : "no reason given");
    }
}
