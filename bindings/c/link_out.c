/* The other half of link.c: what is due, and when. */
#include "link.h"

static const int64_t MS = 1000000, SECOND = 1000000000;
static const int64_t HELLO_EVERY = 500000000, PING_EVERY = 500000000, REQUEST_EVERY = 1000000000;

/* A grant without a frame for this long is taken as lost, and one more is given. */
static const int64_t CREDIT_LOST = 1000000000;

/* At most so much of the time between two flushes counts as silence: while the caller was away, nobody listened. */
static const int64_t ABSENCE = 500000000;

typedef struct {
    inh_send send;
    void *transport;
} outlet;

static inh_writer room(uint8_t *bytes, size_t size) { return (inh_writer){bytes, bytes + size, false}; }

static bool post(const outlet *out, inh_channel channel, const uint8_t *bytes, const inh_writer *written) {
    return !written->bad && out->send(out->transport, channel, bytes, (size_t)(written->at - bytes));
}

/* Say HELLO until it is heard. False while this connection has not even taken it. */
static bool flush_hello(inh_link *l, const outlet *out, inh_channel channel, int64_t now_ns) {
    /* The world is there, but its WELCOME is not: that was lost with a connection. */
    bool unwelcome = !l->joined && l->told_state > INHABIT_LOADING;
    bool unheard = l->heard_ns < 0 || unwelcome || channel == INH_VID;
    int64_t said_ns = l->hello_ns[channel];
    if (said_ns >= 0 && !(unheard && now_ns - said_ns >= HELLO_EVERY)) return true;
    uint8_t bytes[512];
    inh_writer w = room(bytes, sizeof bytes);
    const inh_hello hello = {
        .name = l->name, .lockstep = l->lockstep, .shared_memory = l->shared_memory,
        .session = l->joined ? l->session : NULL, .secret = l->secret, .epoch = l->epoch,
    };
    inh_write_hello(&w, channel, &hello);
    if (post(out, channel, bytes, &w)) l->hello_ns[channel] = now_ns;
    return l->hello_ns[channel] >= 0;
}

static void flush_requests(inh_link *l, const outlet *out, int64_t now_ns) {
    int most = l->lockstep ? 1 : (int)l->limits.requests_max;
    for (int i = 0; i < l->queued && i < most; i++) {
        inh_request *request = &l->queue[i];
        if (request->sent_ns >= 0 && now_ns - request->sent_ns < REQUEST_EVERY) continue;
        if (!out->send(out->transport, INH_CTL, request->bytes, request->size)) return; /* in order, or not at all */
        request->sent_ns = now_ns;
    }
}

static void flush_input(inh_link *l, const outlet *out, int64_t now_ns) {
    if (l->state != INHABIT_RUNNING) return;
    bool behind = l->has_spoken && l->spoken_epoch != l->epoch;
    bool due = l->has_spoken && now_ns - l->input_ns >= (int64_t)l->limits.input_resend_ms * MS;
    inh_controls said = l->spoken;
    uint64_t seq = l->spoken_seq;
    if (l->dirty) {
        if (now_ns - l->controls_ns > (int64_t)l->limits.input_timeout_ms * MS) inh_forget_events(&l->controls);
        said = l->controls;
        seq = l->seq;
    } else if (behind) { /* in a new epoch the sidecar knows nothing of what is held: say it under a new number */
        said = l->controls;
        inh_forget_events(&said);
        seq = ++l->seq;
    } else if (!due) {
        return;
    }
    uint8_t bytes[INH_REQUEST_BYTES];
    inh_writer w = room(bytes, sizeof bytes);
    inh_write_input(&w, seq, l->epoch, l->controls_ns, &said);
    if (!post(out, INH_CTL, bytes, &w)) return;
    if (l->dirty) inh_forget_events(&l->controls);
    l->spoken = said;
    l->spoken_seq = seq;
    l->spoken_epoch = l->epoch;
    l->has_spoken = true;
    l->dirty = false;
    l->input_ns = now_ns;
}

static void flush_credit(inh_link *l, const outlet *out, int64_t now_ns) {
    bool overdue = l->granted > l->seen && now_ns - l->granted_ns >= CREDIT_LOST;
    uint64_t upto = overdue && l->state == INHABIT_RUNNING ? l->granted + 1 : l->wanted;
    if (upto <= l->granted) return;
    uint8_t bytes[16];
    inh_writer w = room(bytes, sizeof bytes);
    inh_write_credit(&w, upto);
    if (!post(out, INH_CTL, bytes, &w)) return;
    l->granted = upto;
    l->granted_ns = now_ns;
}

static void flush_attached(inh_link *l, const outlet *out) {
    if (l->attach == INH_SILENT) return;
    uint8_t bytes[16];
    inh_writer w = room(bytes, sizeof bytes);
    inh_write_attached(&w, l->attach == INH_YES);
    if (post(out, INH_CTL, bytes, &w)) l->attach = INH_SILENT;
}

static void flush_ping(inh_link *l, const outlet *out, int64_t now_ns) {
    if (now_ns - l->ping_ns < PING_EVERY) return;
    uint8_t bytes[32];
    inh_writer w = room(bytes, sizeof bytes);
    inh_write_ping(&w, now_ns);
    if (post(out, INH_CTL, bytes, &w)) l->ping_ns = now_ns;
}

/* Count the silence, and end the session when it is too long: a window must never just freeze. */
static void listen(inh_link *l, int64_t now_ns) {
    int64_t passed = now_ns - l->flushed_ns;
    l->silent_ns += passed < ABSENCE ? passed : ABSENCE;
    l->flushed_ns = now_ns;
    if (l->heard_ns < 0) {
        if (now_ns - l->begun_ns <= l->timeout_ns) return;
        inh_link_end(l, INHABIT_LOST, INHABIT_ERROR_LOST,
                     "Nothing answers at %s within %g s: start it with `inhabit serve`, or mend the address",
                     l->endpoint, (double)l->timeout_ns / (double)SECOND);
        return;
    }
    int64_t hang_ns = (int64_t)l->limits.hang_ms * MS;
    if (l->silent_ns <= hang_ns) return;
    double silent_s = (double)l->silent_ns / (double)SECOND;
    if (now_ns - l->heard_ns < hang_ns)
        inh_link_end(l, INHABIT_LOST, INHABIT_ERROR_LOST,
                     "The sidecar hangs: it answers, but its world has not moved for %.1f s", silent_s);
    else
        inh_link_end(l, INHABIT_LOST, INHABIT_ERROR_LOST, "The sidecar is gone: nothing heard from %s for %.1f s",
                     l->endpoint, silent_s);
}

void inh_link_flush(inh_link *l, inh_send send, void *transport, int64_t now_ns) {
    if (l->end) return;
    const outlet out = {send, transport};
    listen(l, now_ns);
    if (l->end || !flush_hello(l, &out, INH_CTL, now_ns)) return;
    if (l->joined) {
        if (!l->lockstep) {
            if (!l->video) flush_hello(l, &out, INH_VID, now_ns);
            flush_input(l, &out, now_ns);
            flush_attached(l, &out);
            flush_credit(l, &out, now_ns);
        }
        flush_requests(l, &out, now_ns);
    }
    flush_ping(l, &out, now_ns);
}

/* -------------------------------------------------------------------------------------------------------------- input */

void inh_link_touch(inh_link *l, int64_t now_ns) {
    l->seq++;
    l->controls_ns = now_ns;
    l->dirty = true;
}

void inh_forget_events(inh_controls *c) {
    c->pressed[0] = c->pressed[1] = 0;
    c->dx = c->dy = c->scroll = 0;
}

void inh_link_want_frame(inh_link *l) {
    if (l->wanted < l->seen + 1) l->wanted = l->seen + 1;
}
