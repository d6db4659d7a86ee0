/* What stands behind a handle, and the table of handles. */
#ifndef INH_SESSION_H
#define INH_SESSION_H

#include "link.h"
#include "socket.h"

typedef struct {
    inh_link link;
    inh_transport transport;
    uint32_t flags;
    int timeout_ms;
    bool begun;        /* lock-step: an episode is there */
    uint64_t awaited;  /* lock-step: the request whose frame is waited for, 0: none */
    bool awaited_step; /* it is a STEP, not a RESET */
    uint64_t frames;
    uint64_t shown; /* the newest input that a frame has shown */
} inh_session;

/* Say what went wrong in inhabit_last_error(). Returns the result that it was given. */
int inh_fail(int result, const char *form, ...);

/* Find a handle's session and keep other threads out, or return NULL with the reason in *result. */
inh_session *inh_enter(inhabit_client client, int *result);
int inh_leave(inhabit_client client, int result);

/* Give a session its handle; 0 when every one is taken. */
inhabit_client inh_admit(inh_session *session);

/* Take the handle away. Call it between inh_enter() and the end of the session; no inh_leave() after it. */
void inh_dismiss(inhabit_client client);

/* Hear everything that has arrived, say everything that is due. */
void inh_pump(inh_session *session);

/* Pump until `done` says so. False when time is up or the session has ended. */
typedef bool (*inh_condition)(const inh_session *session, uint64_t argument);
bool inh_pump_until(inh_session *session, inh_condition done, uint64_t argument, int timeout_ms);

/* The error of a session that has ended. */
int inh_fail_ended(const inh_session *session);

/* Pump until the world is there. Returns INHABIT_OK or an error. */
int inh_wait_for_world(inh_session *session, int timeout_ms);

/* Copy as much of a caller's struct as both sides know. `least` is the size in the first version of the header. */
int inh_take_struct(void *ours, size_t size, const void *theirs, size_t least, const char *name);

/* The other way; fields that only the caller knows become 0, struct_size stays. */
int inh_give_struct(void *theirs, const void *ours, size_t size, size_t least, const char *name);

/* Queue a request, written by `write`. Returns its number or an error. */
typedef void (*inh_write)(inh_writer *w, uint64_t request, const void *argument);
int64_t inh_ask(inh_session *session, inh_write write, const void *argument);

#endif
