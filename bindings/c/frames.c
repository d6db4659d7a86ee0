/* Frames, sound and requests: the last two sections of inhabit.h. */
#include <math.h>
#include <string.h>

#include "pixels.h"
#include "platform.h"
#include "session.h"

/* ------------------------------------------------------------------------------------------------------------- frames */

static bool has_picture(const inh_session *s, uint64_t unused) {
    (void)unused;
    return s->link.picture.full;
}

static bool is_answered(const inh_session *s, uint64_t request) { return inh_link_answer(&s->link, request) != NULL; }

static bool has_room(const inh_session *s, uint64_t unused) {
    (void)unused;
    return s->link.queued == 0;
}

/* Fill what is known of a frame before it is there, so that a caller whose buffer is too small learns the size. */
static inhabit_frame empty_frame(const inh_session *s) {
    const inh_world *w = &s->link.world;
    uint32_t stride = w->width * (s->flags & INHABIT_RGBA8 ? 4u : 3u);
    return (inhabit_frame){
        .width = (int32_t)w->width, .height = (int32_t)w->height, .stride = stride, .bytes = stride * w->height,
        .epoch = s->link.epoch, .latency_ms = -1, .world_ms = -1,
    };
}

static int give_frame(inhabit_frame *to, const inhabit_frame *told) {
    return to ? inh_give_struct(to, told, sizeof *told, sizeof *told, "inhabit_frame") : INHABIT_OK;
}

/* Refuse a buffer that a frame would not fit in, before anything is asked for or taken. */
static int check_buffer(const inh_session *s, const uint8_t *pixels, size_t capacity, inhabit_frame *frame) {
    inhabit_frame told = empty_frame(s);
    if (pixels && capacity >= told.bytes) return give_frame(frame, &told);
    int result = give_frame(frame, &told);
    if (result < 0) return result;
    return inh_fail(INHABIT_ERROR_BUFFER, "Expected a buffer of %u bytes (%d x %d), got %zu", (unsigned)told.bytes, (int)told.width,
                    (int)told.height, pixels ? capacity : 0);
}

/* Copy the picture that is there to the caller. The buffer was checked. False when the picture was overwritten meanwhile. */
static bool give_picture(inh_session *s, uint8_t *pixels, inhabit_frame *frame) {
    inh_picture *p = &s->link.picture;
    const inh_frame_header *h = &p->header;
    inhabit_frame told = empty_frame(s);
    told.terminated = h->terminated;
    told.truncated = h->truncated;
    told.sound_samples = (int32_t)h->sound_samples;
    told.epoch = h->epoch;
    told.index = h->index;
    told.skipped = h->skipped;
    told.reward = h->reward;
    if (h->input_seq > s->shown && h->input_t_ns && h->input_t_ns <= (uint64_t)p->arrived_ns)
        told.latency_ms = (double)(p->arrived_ns - (int64_t)h->input_t_ns) / 1e6;
    if (h->sampled_ns && h->done_ns >= h->sampled_ns) told.world_ms = (double)(h->done_ns - h->sampled_ns) / 1e6;
    const uint8_t *from = inh_link_pixels(&s->link);
    if (from)
        inh_copy_pixels(pixels, from, h->width, h->height, (s->flags & INHABIT_RGBA8) != 0,
                        (s->flags & INHABIT_BOTTOM_UP) != 0);
    bool shown = from && inh_link_pixels(&s->link) == from;
    inh_link_taken(&s->link, shown);
    if (!shown) return false;
    if (h->input_seq > s->shown) s->shown = h->input_seq;
    s->frames++;
    give_frame(frame, &told);
    return true;
}

static int poll_free(inh_session *s, uint8_t *pixels, size_t capacity, inhabit_frame *frame, int timeout_ms) {
    if (s->link.lockstep)
        return inh_fail(INHABIT_ERROR_ORDER, "Cannot call inhabit_poll() in lock-step: call inhabit_step()");
    if (s->link.joined) {
        int result = check_buffer(s, pixels, capacity, frame);
        if (result < 0) {
            inh_pump(s); /* the session goes on, whatever becomes of its frames */
            return result;
        }
    }
    bool joined = s->link.joined;
    int64_t deadline_ns = inh_now_ns() + (int64_t)timeout_ms * 1000000;
    inh_link_want_frame(&s->link);
    for (bool shown = false; !shown;) { /* more than once only when a frame in shared memory was overwritten */
        int64_t left_ms = (deadline_ns - inh_now_ns()) / 1000000;
        if (!inh_pump_until(s, has_picture, 0, left_ms > 0 ? (int)left_ms : 0)) return s->link.end ? inh_fail_ended(s) : 0;
        if (!joined) { /* the world's size came to be known in this very call */
            int result = check_buffer(s, pixels, capacity, frame);
            if (result < 0) return result;
        }
        shown = give_picture(s, pixels, frame);
    }
    if (timeout_ms <= 0) { /* the next one may travel while this one is drawn */
        inh_link_want_frame(&s->link);
        inh_pump(s);
    }
    return 1;
}

int inhabit_poll(inhabit_client client, uint8_t *pixels, size_t capacity, inhabit_frame *frame, int timeout_ms) {
    int result = INHABIT_OK;
    inh_session *s = inh_enter(client, &result);
    if (!s) return result;
    return inh_leave(client, poll_free(s, pixels, capacity, frame, timeout_ms));
}

/* Wait for the frame of s->awaited. */
static int await_frame(inh_session *s, uint8_t *pixels, inhabit_frame *frame, int timeout_ms) {
    if (!inh_pump_until(s, is_answered, s->awaited, timeout_ms)) {
        if (s->link.end) return inh_fail_ended(s);
        return inh_fail(INHABIT_ERROR_TIMEOUT, "Expected the next frame within %d ms, got none: call again to go on waiting",
                        timeout_ms);
    }
    const inh_answer *answer = inh_link_answer(&s->link, s->awaited);
    uint64_t request = s->awaited;
    bool step = s->awaited_step;
    s->awaited = 0;
    if (s->link.end) return inh_fail_ended(s);
    if (answer->result < 0) return inh_fail(answer->result, "%s", answer->text);
    if (!answer->stepped || !s->link.picture.full || s->link.picture.request != request)
        return inh_fail(INHABIT_ERROR_PROTOCOL, "Expected a frame as the answer to %s, got none", step ? "STEP" : "RESET");
    s->begun = true;
    if (pixels && !give_picture(s, pixels, frame))
        return inh_fail(INHABIT_ERROR_PROTOCOL, "Expected the pixels of a step with its answer, got none");
    return INHABIT_OK;
}

static void write_step(inh_writer *w, uint64_t request, const void *controls) {
    inh_write_step(w, request, inh_now_ns(), controls);
}

static int step_lockstep(inh_session *s, uint8_t *pixels, size_t capacity, inhabit_frame *frame) {
    if (!s->link.lockstep)
        return inh_fail(INHABIT_ERROR_ORDER, "Cannot call inhabit_step() in mode free: call inhabit_poll(), or open in lock-step");
    if (s->link.end) return inh_fail_ended(s);
    if (!s->begun && !s->awaited)
        return inh_fail(INHABIT_ERROR_ORDER, "Cannot call inhabit_step() before inhabit_reset()");
    int result = check_buffer(s, pixels, capacity, frame);
    if (result < 0) return result;
    if (s->awaited && !s->awaited_step) { /* a reset that took longer than its caller would wait */
        result = await_frame(s, NULL, NULL, s->timeout_ms);
        if (result < 0) return result;
    }
    if (!s->awaited) {
        int64_t request = inh_ask(s, write_step, &s->link.controls);
        if (request < 0) return (int)request;
        inh_forget_events(&s->link.controls);
        s->awaited = (uint64_t)request;
        s->awaited_step = true;
    }
    return await_frame(s, pixels, frame, s->timeout_ms);
}

int inhabit_step(inhabit_client client, uint8_t *pixels, size_t capacity, inhabit_frame *frame) {
    int result = INHABIT_OK;
    inh_session *s = inh_enter(client, &result);
    if (!s) return result;
    return inh_leave(client, step_lockstep(s, pixels, capacity, frame));
}

static void write_reset(inh_writer *w, uint64_t request, const void *seed) {
    inh_write_reset(w, request, *(const int64_t *)seed, inh_now_ns());
}

static int reset(inh_session *s, int64_t seed, uint8_t *pixels, size_t capacity, inhabit_frame *frame) {
    if (!s->link.lockstep) return (int)inh_ask(s, write_reset, &seed);
    int result = inh_wait_for_world(s, s->timeout_ms);
    if (result == INHABIT_OK) result = check_buffer(s, pixels, capacity, frame);
    if (result < 0) return result;
    if (!inh_pump_until(s, has_room, 0, s->timeout_ms)) {
        if (s->link.end) return inh_fail_ended(s);
        return inh_fail(INHABIT_ERROR_TIMEOUT, "Expected the answer to an earlier request within %d ms, got none", s->timeout_ms);
    }
    int64_t request = inh_ask(s, write_reset, &seed);
    if (request < 0) return (int)request;
    s->awaited = (uint64_t)request;
    s->awaited_step = s->begun = false;
    return await_frame(s, pixels, frame, s->timeout_ms);
}

int inhabit_reset(inhabit_client client, int64_t seed, uint8_t *pixels, size_t capacity, inhabit_frame *frame) {
    int result = INHABIT_OK;
    inh_session *s = inh_enter(client, &result);
    if (!s) return result;
    return inh_leave(client, reset(s, seed, pixels, capacity, frame));
}

int inhabit_sound(inhabit_client client, int16_t *samples, size_t capacity) {
    int result = INHABIT_OK;
    inh_session *s = inh_enter(client, &result);
    if (!s) return result;
    if (!samples && capacity)
        return inh_leave(client, inh_fail(INHABIT_ERROR_ARGUMENT, "Expected a buffer for sound, got NULL"));
    return inh_leave(client, (int)inh_sound_take(&s->link.sound, samples, capacity));
}

/* ----------------------------------------------------------------------------------------------------------- requests */

static int ask(inhabit_client client, inh_write write, const void *argument) {
    int result = INHABIT_OK;
    inh_session *s = inh_enter(client, &result);
    if (!s) return result;
    int64_t request = inh_ask(s, write, argument);
    if (request > 0) inh_pump(s);
    return inh_leave(client, (int)request);
}

static void write_prompt(inh_writer *w, uint64_t request, const void *text) { inh_write_prompt(w, request, text); }

int inhabit_prompt(inhabit_client client, const char *text) {
    int64_t characters = text ? inh_characters((const uint8_t *)text, strlen(text)) : -1;
    if (characters < 0 || characters > 512) {
        if (characters > 512)
            return inh_fail(INHABIT_ERROR_ARGUMENT, "Expected a prompt of at most 512 characters, got %lld", (long long)characters);
        return inh_fail(INHABIT_ERROR_ARGUMENT, "Expected a prompt in UTF-8, got %s", text ? "bytes that are none" : "NULL");
    }
    return ask(client, write_prompt, text);
}

static void write_pause(inh_writer *w, uint64_t request, const void *paused) {
    inh_write_plain(w, *(const int *)paused ? INH_PAUSE : INH_RESUME, request);
}

int inhabit_pause(inhabit_client client, int paused) { return ask(client, write_pause, &paused); }

typedef struct {
    const char *name;
    double value;
} setting;

static void write_set(inh_writer *w, uint64_t request, const void *argument) {
    const setting *s = argument;
    inh_write_set(w, request, s->name, s->value);
}

int inhabit_set(inhabit_client client, const char *name, double value) {
    int64_t characters = name ? inh_characters((const uint8_t *)name, strlen(name)) : -1;
    if (characters < 1 || characters > 64)
        return inh_fail(INHABIT_ERROR_ARGUMENT, "Expected the name of a setting, 1 to 64 characters in UTF-8, got another");
    if (!isfinite(value))
        return inh_fail(INHABIT_ERROR_ARGUMENT, "Expected a finite value for %.64s, got %g", name, value);
    const setting chosen = {name, value};
    return ask(client, write_set, &chosen);
}

int inhabit_get_answer(inhabit_client client, int request, inhabit_answer *answer) {
    int result = INHABIT_OK;
    inh_session *s = inh_enter(client, &result);
    if (!s) return result;
    inh_pump(s);
    const inh_answer *a = request > 0 ? inh_link_answer(&s->link, (uint64_t)request) : NULL;
    if (!a) {
        bool waits = request > 0 && (uint64_t)request <= s->link.newest_request;
        if (waits && s->link.end) return inh_leave(client, inh_fail_ended(s));
        if (waits) return inh_leave(client, 0);
        return inh_leave(client, inh_fail(INHABIT_ERROR_ARGUMENT, "Expected the number of a request, got %d", request));
    }
    inhabit_answer told = {.refused = a->result < 0, .epoch = a->epoch, .frame = a->frame};
    memcpy(told.text, a->text, sizeof told.text);
    result = inh_give_struct(answer, &told, sizeof told, sizeof told, "inhabit_answer");
    return inh_leave(client, result < 0 ? result : 1);
}
