#include "session.h"

#include <stdlib.h>
#include <string.h>

#include "platform.h"

enum { CLIENTS = 64, WAIT_MS = 20 /* longest sleep: keep-alives must go out in between */ };

static INH_THREAD_LOCAL char last_error[INH_TEXT + 300];

const char *inhabit_last_error(void) { return last_error; }

int inh_fail(int result, const char *form, ...) {
    va_list values;
    va_start(values, form);
    inh_format(last_error, sizeof last_error, form, values);
    va_end(values);
    return result;
}

/* ------------------------------------------------------------------------------------------------------------ handles */

/* A handle is a slot's number and how often the slot was given away, so that an old handle is never taken for a new one. */
static struct {
    inh_session *session; /* NULL: free */
    uint32_t given;
    bool busy;
} slots[CLIENTS];

static inh_lock lock = INH_LOCK_INIT;

static inhabit_client handle_of(uint32_t slot) { return (slots[slot].given << 8 | slot) + 1; }

inhabit_client inh_admit(inh_session *session) {
    inhabit_client handle = 0;
    inh_lock_take(&lock);
    for (uint32_t i = 0; i < CLIENTS && !handle; i++) {
        if (slots[i].session) continue;
        slots[i].session = session;
        slots[i].given = (slots[i].given + 1) & 0x7fffff;
        handle = handle_of(i);
    }
    inh_lock_give(&lock);
    return handle;
}

inh_session *inh_enter(inhabit_client client, int *result) {
    inh_session *session = NULL;
    uint32_t slot = (client - 1) & 0xff;
    inh_lock_take(&lock);
    if (!client || slot >= CLIENTS || !slots[slot].session || handle_of(slot) != client) {
        *result = INHABIT_ERROR_CLOSED;
    } else if (slots[slot].busy) {
        *result = INHABIT_ERROR_THREAD;
    } else {
        session = slots[slot].session;
        slots[slot].busy = true;
    }
    inh_lock_give(&lock);
    if (!session && *result == INHABIT_ERROR_THREAD)
        inh_fail(*result, "Another thread is using this client right now: call it from one thread at a time");
    else if (!session && !client)
        inh_fail(*result, "Expected a client that inhabit_open() gave, got 0");
    else if (!session)
        inh_fail(*result, "There is no client %u: it was closed, or inhabit_open() never gave it", (unsigned)client);
    return session;
}

int inh_leave(inhabit_client client, int result) {
    inh_lock_take(&lock);
    slots[(client - 1) & 0xff].busy = false;
    inh_lock_give(&lock);
    return result;
}

void inh_dismiss(inhabit_client client) {
    inh_lock_take(&lock);
    slots[(client - 1) & 0xff].session = NULL;
    slots[(client - 1) & 0xff].busy = false;
    inh_lock_give(&lock);
}

/* ------------------------------------------------------------------------------------------------------------ turning */

void inh_pump(inh_session *s) {
    inh_packet packet;
    while (!s->link.end && inh_transport_receive(&s->transport, &packet)) {
        bool joined = s->link.joined;
        inh_link_receive(&s->link, &packet, inh_now_ns());
        inh_packet_close(&packet);
        if (!joined && s->link.joined) {
            int64_t pixels = (int64_t)s->link.world.width * s->link.world.height * 3;
            int64_t sound = 1000000 * 8 * 2;
            s->transport.vid_part_bytes = (pixels > sound ? pixels : sound) + 1024;
        }
    }
    inh_link_flush(&s->link, inh_transport_send, &s->transport, inh_now_ns());
}

bool inh_pump_until(inh_session *s, inh_condition done, uint64_t argument, int timeout_ms) {
    int64_t deadline_ns = inh_now_ns() + (int64_t)timeout_ms * 1000000;
    for (;;) {
        inh_pump(s);
        if (done(s, argument)) return true;
        int64_t left_ms = (deadline_ns - inh_now_ns() + 999999) / 1000000;
        if (s->link.end || left_ms <= 0) return false;
        inh_transport_wait(&s->transport, left_ms < WAIT_MS ? (int)left_ms : WAIT_MS);
    }
}

int inh_fail_ended(const inh_session *s) { return inh_fail(s->link.end, "%s", s->link.reason); }

int64_t inh_ask(inh_session *s, inh_write write, const void *argument) {
    if (s->link.end) return inh_fail_ended(s);
    inh_request *request = inh_link_request(&s->link);
    if (!request)
        return inh_fail(INHABIT_ERROR_FULL, "Expected at most %d requests without an answer, got one more: later", INH_QUEUE);
    inh_writer w = inh_request_writer(request);
    write(&w, request->id, argument);
    if (!inh_link_queue(&s->link, request, &w))
        return inh_fail(INHABIT_ERROR_ARGUMENT, "Expected a request of at most %d bytes, got a longer one", INH_REQUEST_BYTES);
    return (int64_t)request->id;
}

static bool has_world(const inh_session *s, uint64_t unused) {
    (void)unused;
    return s->link.joined;
}

static const char *state_name(int state) {
    static const char *const NAMES[] = {"connecting", "loading", "ready", "running", "paused", "failed", "lost"};
    return NAMES[state];
}

int inh_wait_for_world(inh_session *s, int timeout_ms) {
    if (inh_pump_until(s, has_world, 0, timeout_ms)) return INHABIT_OK;
    if (s->link.end) return inh_fail_ended(s);
    return inh_fail(INHABIT_ERROR_TIMEOUT, "Expected a world from %s within %d ms, it is %s", s->link.endpoint, timeout_ms,
                    state_name(s->link.state));
}

/* ------------------------------------------------------------------------------------------------------------ structs */

int inh_take_struct(void *ours, size_t size, const void *theirs, size_t least, const char *name) {
    uint32_t told;
    memcpy(&told, theirs, sizeof told);
    if (told < least)
        return inh_fail(INHABIT_ERROR_ARGUMENT, "Expected %s.struct_size of %zu or more, got %u: set it to sizeof", name,
                        least, (unsigned)told);
    memcpy(ours, theirs, told < size ? told : size);
    return INHABIT_OK;
}

int inh_give_struct(void *theirs, const void *ours, size_t size, size_t least, const char *name) {
    uint32_t told;
    if (!theirs) return inh_fail(INHABIT_ERROR_ARGUMENT, "Expected a pointer to an %s, got NULL", name);
    memcpy(&told, theirs, sizeof told);
    if (told < least)
        return inh_fail(INHABIT_ERROR_ARGUMENT, "Expected %s.struct_size of %zu or more, got %u: set it to sizeof", name,
                        least, (unsigned)told);
    if (told > size) memset((char *)theirs + size, 0, told - size);
    memcpy(theirs, ours, told < size ? told : size);
    memcpy(theirs, &told, sizeof told);
    return INHABIT_OK;
}
