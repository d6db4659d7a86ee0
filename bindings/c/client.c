/* The library and sessions: the first two sections of inhabit.h. */
#include <stdlib.h>
#include <string.h>

#include "inhabit.h"
#include "platform.h"
#include "session.h"

#ifndef INHABIT_VERSION
#define INHABIT_VERSION "0.1.0"
#endif

enum { DEFAULT_TIMEOUT_MS = 30000, LONGEST_TIMEOUT_MS = 86400000 };

uint32_t inhabit_abi_version(void) { return INHABIT_ABI_MAJOR * 65536 + INHABIT_ABI_MINOR; }

const char *inhabit_version(void) { return INHABIT_VERSION; }

int inhabit_has(const char *feature) {
    static const char *const FEATURES[] = {"lockstep", "free", "rgba8", "bottom_up", "sound", "prompts"};
    if (feature && strcmp(feature, "shared_memory") == 0) return inh_ring_possible();
    for (size_t i = 0; feature && i < sizeof FEATURES / sizeof *FEATURES; i++)
        if (strcmp(FEATURES[i], feature) == 0) return 1;
    return 0;
}

#define GIVE(theirs, ours) inh_give_struct(theirs, &(ours), sizeof(ours), sizeof(ours), #theirs)

static uint32_t bytes_of(const inh_session *s) {
    return s->link.world.width * s->link.world.height * (s->flags & INHABIT_RGBA8 ? 4u : 3u);
}

/* --------------------------------------------------------------------------------------------------------- a session */

static void write_reset(inh_writer *w, uint64_t request, const void *seed) {
    inh_write_reset(w, request, *(const int64_t *)seed, inh_now_ns());
}

static int check_options(const inhabit_options *given, inhabit_options *o) {
    *o = (inhabit_options){.struct_size = sizeof *o};
    if (given) {
        int result = inh_take_struct(o, sizeof *o, given, sizeof *o, "inhabit_options");
        if (result < 0) return result;
    }
    if (!o->name) o->name = "inhabit-c";
    if (!o->timeout_ms) o->timeout_ms = DEFAULT_TIMEOUT_MS;
    int64_t characters = inh_characters((const uint8_t *)o->name, strlen(o->name));
    if (o->mode != INHABIT_FREE && o->mode != INHABIT_LOCKSTEP)
        return inh_fail(INHABIT_ERROR_ARGUMENT, "Expected mode 0 (free) or 1 (lock-step), got %d", (int)o->mode);
    if (o->flags & ~(uint32_t)(INHABIT_RGBA8 | INHABIT_BOTTOM_UP | INHABIT_NO_SHARED_MEMORY))
        return inh_fail(INHABIT_ERROR_ARGUMENT, "Expected flags out of 1 (RGBA8), 2 (bottom up) and 4 (no shared memory), got %u", (unsigned)o->flags);
    if (o->timeout_ms < 0 || o->timeout_ms > LONGEST_TIMEOUT_MS)
        return inh_fail(INHABIT_ERROR_ARGUMENT, "Expected timeout_ms of 1 to 86400000, or 0 for 30000, got %d", (int)o->timeout_ms);
    if (o->has_seed && o->seed < 0)
        return inh_fail(INHABIT_ERROR_ARGUMENT, "Expected a seed of 0 or more, got %lld", (long long)o->seed);
    if (characters < 1 || characters > 64)
        return inh_fail(INHABIT_ERROR_ARGUMENT, "Expected a name of 1 to 64 characters in UTF-8, got another");
    return INHABIT_OK;
}

int inhabit_open(const char *endpoint, const inhabit_options *options, inhabit_client *client) {
    inhabit_options o;
    if (!client) return inh_fail(INHABIT_ERROR_ARGUMENT, "Expected a pointer for the client, got NULL");
    *client = 0;
    int result = check_options(options, &o);
    if (result < 0) return result;
    if (!endpoint || !*endpoint || strlen(endpoint) > 255)
        return inh_fail(INHABIT_ERROR_ARGUMENT, "Expected an address such as tcp://127.0.0.1:5555, got %s",
                        endpoint && *endpoint ? "one of more than 255 bytes" : "none");
    inh_session *s = calloc(1, sizeof *s);
    if (!s) return inh_fail(INHABIT_ERROR_SYSTEM, "Out of memory for a client");
    bool bad_address;
    const char *wrong = inh_transport_open(&s->transport, endpoint, &bad_address);
    if (wrong) {
        free(s);
        if (bad_address)
            return inh_fail(INHABIT_ERROR_ARGUMENT, "Expected an address such as tcp://127.0.0.1:5555, got \"%s\": %s", endpoint, wrong);
        return inh_fail(INHABIT_ERROR_SYSTEM, "Cannot make a socket: %s", wrong);
    }
    s->flags = o.flags;
    s->timeout_ms = o.timeout_ms;
    inh_link_init(&s->link, endpoint, o.name, o.mode == INHABIT_LOCKSTEP, (int64_t)o.timeout_ms * 1000000, inh_now_ns());
    s->link.shared_memory = o.mode == INHABIT_FREE && !(o.flags & INHABIT_NO_SHARED_MEMORY) && inh_ring_possible();
    *client = inh_admit(s);
    if (!*client) {
        inh_transport_close(&s->transport);
        inh_link_free(&s->link);
        free(s);
        return inh_fail(INHABIT_ERROR_SYSTEM, "Expected at most 64 open clients, got one more: close one");
    }
    int64_t seed = o.has_seed ? o.seed : -1;
    if (o.mode == INHABIT_FREE) inh_ask(s, write_reset, &seed);
    inh_pump(s);
    return INHABIT_OK;
}

int inhabit_close(inhabit_client client) {
    int result = INHABIT_OK;
    inh_session *s = inh_enter(client, &result);
    if (!s) return result;
    uint8_t bytes[64];
    inh_writer w = {bytes, bytes + sizeof bytes, false};
    inh_write_bye(&w, "the client closes");
    if (!w.bad) inh_transport_send(&s->transport, INH_CTL, bytes, (size_t)(w.at - bytes));
    inh_dismiss(client);
    inh_link_free(&s->link);
    inh_transport_close(&s->transport);
    free(s);
    return INHABIT_OK;
}

int inhabit_wait(inhabit_client client, int timeout_ms) {
    int result = INHABIT_OK;
    inh_session *s = inh_enter(client, &result);
    if (!s) return result;
    return inh_leave(client, inh_wait_for_world(s, timeout_ms));
}

int inhabit_get_status(inhabit_client client, inhabit_status *status) {
    int result = INHABIT_OK;
    inh_session *s = inh_enter(client, &result);
    if (!s) return result;
    inh_pump(s);
    inhabit_status told = {
        .state = s->link.state, .epoch = s->link.epoch, .frames = s->frames, .made = s->link.made, .late = s->link.late,
        .round_trip_ms = s->link.round_trip_ns < 0 ? -1 : (double)s->link.round_trip_ns / 1e6,
    };
    memcpy(told.reason, s->link.reason, sizeof told.reason);
    return inh_leave(client, GIVE(status, told));
}

/* Enter a session whose world is there. */
static inh_session *enter_world(inhabit_client client, int *result) {
    inh_session *s = inh_enter(client, result);
    if (!s || s->link.joined) return s;
    *result = inh_leave(client, s->link.end ? inh_fail_ended(s) : inh_fail(INHABIT_ERROR_ORDER,
        "Cannot describe the world before it is there: call inhabit_wait() or inhabit_poll() first"));
    return NULL;
}

int inhabit_describe_world(inhabit_client client, inhabit_world *world) {
    int result = INHABIT_OK;
    inh_session *s = enter_world(client, &result);
    if (!s) return result;
    const inh_world *w = &s->link.world;
    inhabit_world told = {
        .width = (int32_t)w->width, .height = (int32_t)w->height, .bytes = bytes_of(s), .rate_hz = w->rate_hz,
        .actions = (int32_t)w->actions, .prompts = (int32_t)w->prompts, .sound_rate_hz = (int32_t)w->sound_rate_hz,
        .sound_channels = (int32_t)w->sound_channels,
    };
    memcpy(told.name, w->name, sizeof told.name);
    memcpy(told.title, w->title, sizeof told.title);
    return inh_leave(client, GIVE(world, told));
}

int inhabit_describe_action(inhabit_client client, int index, inhabit_action *action) {
    int result = INHABIT_OK;
    inh_session *s = enter_world(client, &result);
    if (!s) return result;
    inhabit_action told = {0};
    bool analog;
    const inh_world *w = &s->link.world;
    if (index < 0 || !inh_read_action(s->link.welcome, s->link.welcome_size, w, (uint32_t)index, told.name,
                                      sizeof told.name, told.keys, sizeof told.keys, &analog))
        return inh_leave(client, inh_fail(INHABIT_ERROR_ARGUMENT, "Expected an action of 0 to %d, got %d", (int)w->actions - 1, index));
    told.analog = analog;
    return inh_leave(client, GIVE(action, told));
}

int inhabit_prompt_example(inhabit_client client, int index, char *text, size_t capacity) {
    int result = INHABIT_OK;
    inh_session *s = enter_world(client, &result);
    if (!s) return result;
    char told[2052]; /* 512 characters */
    const inh_world *w = &s->link.world;
    if (index < 0 || !inh_read_prompt(s->link.welcome, s->link.welcome_size, w, (uint32_t)index, told, sizeof told))
        return inh_leave(client, inh_fail(INHABIT_ERROR_ARGUMENT, "Expected a prompt of 0 to %d, got %d", (int)w->prompts - 1, index));
    size_t size = strlen(told) + 1;
    if (!text || capacity < size)
        return inh_leave(client, inh_fail(INHABIT_ERROR_BUFFER, "Expected room for %zu bytes, got %zu", size, text ? capacity : 0));
    memcpy(text, told, size);
    return inh_leave(client, (int)size - 1);
}
