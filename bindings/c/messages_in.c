/* What we hear: docs/protocol.md, section 4. Unknown map keys, further array elements and unknown kinds are passed over. */
#include <stdio.h>
#include <string.h>

#include "inhabit.h"
#include "messages.h"

static const uint64_t COUNT_MAX = INT64_MAX;
static const uint64_t DAY_MS = 86400000;

static uint64_t get_count(inh_reader *r) { return inh_get_uint(r, COUNT_MAX); }

static uint32_t get_bounded(inh_reader *r, uint32_t least, uint32_t most) {
    uint32_t value = (uint32_t)inh_get_uint(r, most);
    if (value < least) r->bad = true;
    return value;
}

static void get_text(inh_reader *r, char *to, size_t capacity) {
    inh_span text = inh_get_str(r);
    if (!r->bad) inh_copy_text(to, capacity, text);
}

static void get_identity(inh_reader *r, uint8_t to[16]) {
    inh_span bytes = inh_get_bin(r);
    if (bytes.size != 16) r->bad = true;
    if (!r->bad) memcpy(to, bytes.bytes, 16);
}

static int get_state(inh_reader *r) {
    static const struct { const char *name; int state; } STATES[] = {
        {"loading", INHABIT_LOADING}, {"ready", INHABIT_READY}, {"running", INHABIT_RUNNING},
        {"paused", INHABIT_PAUSED}, {"failed", INHABIT_FAILED},
    };
    inh_span name = inh_get_str(r);
    for (size_t i = 0; i < sizeof STATES / sizeof *STATES; i++)
        if (inh_span_is(name, STATES[i].name)) return STATES[i].state;
    r->bad = true;
    return INHABIT_FAILED;
}

static void read_frame(inh_reader *r, inh_frame_header *f) {
    uint32_t count = inh_get_array(r);
    f->width = f->height = 1;
    for (uint32_t i = 0; i < count && !r->bad; i++) {
        switch (i) {
            case 0: f->epoch = get_count(r); break;
            case 1: f->number = get_count(r); break;
            case 2: f->index = get_count(r); break;
            case 3: f->input_seq = get_count(r); break;
            case 4: f->input_t_ns = get_count(r); break;
            case 5: f->received_ns = get_count(r); break;
            case 6: f->sampled_ns = get_count(r); break;
            case 7: f->done_ns = get_count(r); break;
            case 9:
                if (!inh_span_is(inh_get_str(r), "rgb8")) r->bad = true;
                break;
            case 10: f->width = get_bounded(r, 1, INH_MAX_SIDE); break;
            case 11: f->height = get_bounded(r, 1, INH_MAX_SIDE); break;
            case 12: f->sound_samples = get_bounded(r, 0, 1000000); break;
            case 13: f->sound_channels = get_bounded(r, 0, 8); break;
            case 14: f->reward = inh_get_double(r); break;
            case 15: f->terminated = inh_get_bool(r); break;
            case 16: f->truncated = inh_get_bool(r); break;
            case 17: f->skipped = get_count(r); break;
            case 19: f->slot = get_bounded(r, 0, 64); break;
            case 20: f->generation = get_count(r); break;
            default: inh_skip(r);
        }
    }
    if (count < 3) r->bad = true;
}

static void read_limits(inh_reader *r, inh_limits *limits) {
    for (uint32_t left = inh_get_map(r); left && !r->bad; left--) {
        inh_span key = inh_get_str(r);
        if (inh_span_is(key, "input_timeout_ms"))
            limits->input_timeout_ms = inh_get_uint(r, DAY_MS);
        else if (inh_span_is(key, "input_resend_ms"))
            limits->input_resend_ms = inh_get_uint(r, DAY_MS);
        else if (inh_span_is(key, "hang_ms"))
            limits->hang_ms = inh_get_uint(r, DAY_MS);
        else if (inh_span_is(key, "requests_max"))
            limits->requests_max = get_bounded(r, 1, 256);
        else
            inh_skip(r);
    }
}

/* Count an array of at most `most` elements that are read later, and remember where it begins. */
static uint32_t pass_array(inh_reader *r, const uint8_t *start, size_t *at, uint32_t most) {
    inh_reader ahead = *r;
    *at = (size_t)(r->at - start);
    uint32_t count = inh_get_array(&ahead);
    inh_skip(r);
    if (ahead.bad || count > most) r->bad = true;
    return count;
}

static void read_world(inh_reader *r, inh_world *world, const uint8_t *start) {
    for (uint32_t left = inh_get_map(r); left && !r->bad; left--) {
        inh_span key = inh_get_str(r);
        if (inh_span_is(key, "name"))
            get_text(r, world->name, sizeof world->name);
        else if (inh_span_is(key, "title"))
            get_text(r, world->title, sizeof world->title);
        else if (inh_span_is(key, "width"))
            world->width = get_bounded(r, 8, INH_MAX_SIDE);
        else if (inh_span_is(key, "height"))
            world->height = get_bounded(r, 8, INH_MAX_SIDE);
        else if (inh_span_is(key, "rate_hz"))
            world->rate_hz = inh_get_double(r);
        else if (inh_span_is(key, "sound_rate_hz"))
            world->sound_rate_hz = get_bounded(r, 0, 1000000);
        else if (inh_span_is(key, "sound_channels"))
            world->sound_channels = get_bounded(r, 0, 8);
        else if (inh_span_is(key, "prompts"))
            world->prompts = pass_array(r, start, &world->prompts_at, INH_MAX_HEADER);
        else if (inh_span_is(key, "actions")) {
            for (uint32_t inner = inh_get_map(r); inner && !r->bad; inner--) {
                if (inh_span_is(inh_get_str(r), "sources"))
                    world->actions = pass_array(r, start, &world->actions_at, INH_MAX_ACTIONS);
                else
                    inh_skip(r);
            }
        } else
            inh_skip(r);
    }
    if (!world->width || !world->height || !world->name[0] || !(world->rate_hz > 0 && world->rate_hz <= 1000))
        r->bad = true;
}

static void read_versions(inh_reader *r, inh_message *m) {
    uint32_t count = inh_get_array(r);
    for (uint32_t i = 0; i < count && !r->bad; i++) {
        if (i == 0)
            m->lowest = get_count(r);
        else if (i == 1)
            m->highest = get_count(r);
        else
            inh_skip(r);
    }
}

/* One entry of a map. Keys mean the same in whatever message they are. */
static void read_entry(inh_reader *r, inh_message *m, const uint8_t *start) {
    inh_span key = inh_get_str(r);
    if (inh_span_is(key, "request"))
        m->request = get_count(r);
    else if (inh_span_is(key, "epoch"))
        m->epoch = get_count(r);
    else if (inh_span_is(key, "frame") && m->kind == INH_STEPPED)
        read_frame(r, &m->frame);
    else if (inh_span_is(key, "frame"))
        m->frame_index = get_count(r);
    else if (inh_span_is(key, "state"))
        m->state = get_state(r);
    else if (inh_span_is(key, "made"))
        m->made = get_count(r);
    else if (inh_span_is(key, "late"))
        m->late = get_count(r);
    else if (inh_span_is(key, "busy_ms"))
        m->busy_ms = get_count(r);
    else if (inh_span_is(key, "video"))
        m->video = inh_get_bool(r);
    else if (inh_span_is(key, "t_ns"))
        m->t_ns = get_count(r);
    else if (inh_span_is(key, "code"))
        get_text(r, m->code, sizeof m->code);
    else if (inh_span_is(key, "reason") || inh_span_is(key, "message") || inh_span_is(key, "note"))
        get_text(r, m->text, sizeof m->text);
    else if (inh_span_is(key, "versions"))
        read_versions(r, m);
    else if (inh_span_is(key, "session"))
        get_identity(r, m->session);
    else if (inh_span_is(key, "secret"))
        get_identity(r, m->secret);
    else if (inh_span_is(key, "boot"))
        get_identity(r, m->boot);
    else if (inh_span_is(key, "frames"))
        m->frames = get_count(r);
    else if (inh_span_is(key, "resumed"))
        m->resumed = inh_get_str(r).size > 0;
    else if (inh_span_is(key, "name"))
        get_text(r, m->ring, sizeof m->ring);
    else if (inh_span_is(key, "slots"))
        m->slots = get_bounded(r, 1, 64);
    else if (inh_span_is(key, "slot_bytes"))
        m->slot_bytes = get_bounded(r, 1, 1u << 30);
    else if (inh_span_is(key, "world"))
        read_world(r, &m->world, start);
    else if (inh_span_is(key, "limits"))
        read_limits(r, &m->limits);
    else
        inh_skip(r);
}

/* What must not be missing. */
static bool complete(const inh_message *m) {
    switch (m->kind) {
        case INH_WELCOME: return m->world.width > 0;
        case INH_STATE: return m->state != INHABIT_CONNECTING;
        case INH_STEPPED: return m->request > 0 && m->frame.width > 0;
        case INH_ACK: return m->request > 0;
        case INH_ERROR: return m->code[0] != 0;
        case INH_RING: return m->slots > 0 && m->slot_bytes > 0;
        default: return true;
    }
}

#define COMPLAINT(name) "Expected " name " as in docs/protocol.md, got something malformed"

/* What to say of a malformed message; NULL for a kind that we do not know. */
static const char *complaint(uint8_t kind) {
    switch (kind) {
        case INH_WELCOME: return COMPLAINT("WELCOME");
        case INH_STATE: return COMPLAINT("STATE");
        case INH_STEPPED: return COMPLAINT("STEPPED");
        case INH_FRAME: return COMPLAINT("FRAME");
        case INH_ACK: return COMPLAINT("ACK");
        case INH_PONG: return COMPLAINT("PONG");
        case INH_ERROR: return COMPLAINT("ERROR");
        case INH_RING: return COMPLAINT("RING");
        case INH_BYE: return COMPLAINT("BYE");
        default: return NULL;
    }
}

const char *inh_read_message(const uint8_t *bytes, size_t size, inh_message *m, int *version) {
    memset(m, 0, sizeof *m);
    m->limits = (inh_limits){.input_timeout_ms = 250, .input_resend_ms = 100, .hang_ms = 2000, .requests_max = 16};
    *version = INH_WIRE_VERSION;
    if (size < 3 || size > INH_MAX_HEADER) return "Expected a first part of 3 to 65536 bytes";
    *version = bytes[0];
    if (bytes[0] != INH_WIRE_VERSION && bytes[1] != INH_ERROR) return "Expected wire version 1";
    const char *malformed = complaint(bytes[1]);
    if (!malformed) return NULL; /* newer sidecars may say more */
    m->kind = bytes[1];
    inh_reader r = {bytes + 2, bytes + size, false};
    if (m->kind == INH_FRAME)
        read_frame(&r, &m->frame);
    else
        for (uint32_t left = inh_get_map(&r); left && !r.bad; left--) read_entry(&r, m, bytes);
    return !r.bad && r.at == r.end && complete(m) ? NULL : malformed;
}

/* ------------------------------------------------------------------------------------------- lists inside of WELCOME */

static bool seek(inh_reader *r, uint32_t index) {
    if (index >= inh_get_array(r)) return false;
    while (index-- && !r->bad) inh_skip(r);
    return !r->bad;
}

/* Names out of an array, with spaces in between. */
static void join(inh_reader *r, char *to, size_t capacity) {
    for (uint32_t left = inh_get_array(r); left && !r->bad; left--) {
        inh_span name = inh_get_str(r);
        size_t used = strlen(to);
        if (r->bad || used + name.size + 2 > capacity) continue;
        if (used) to[used++] = ' ';
        inh_copy_text(to + used, capacity - used, name);
    }
}

bool inh_read_action(
    const uint8_t *welcome, size_t size, const inh_world *world, uint32_t index, char *name, size_t name_capacity,
    char *keys, size_t keys_capacity, bool *analog) {
    inh_reader r = {welcome + world->actions_at, welcome + size, false};
    name[0] = keys[0] = 0;
    *analog = false;
    if (index >= world->actions || !seek(&r, index)) return false;
    for (uint32_t left = inh_get_map(&r); left && !r.bad; left--) {
        inh_span key = inh_get_str(&r);
        if (inh_span_is(key, "name"))
            get_text(&r, name, name_capacity);
        else if (inh_span_is(key, "kind"))
            *analog = inh_span_is(inh_get_str(&r), "axis");
        else if (inh_span_is(key, "keys"))
            join(&r, keys, keys_capacity);
        else
            inh_skip(&r);
    }
    return !r.bad;
}

bool inh_read_prompt(
    const uint8_t *welcome, size_t size, const inh_world *world, uint32_t index, char *text, size_t capacity) {
    inh_reader r = {welcome + world->prompts_at, welcome + size, false};
    if (index >= world->prompts || !seek(&r, index)) return false;
    get_text(&r, text, capacity);
    return !r.bad;
}
