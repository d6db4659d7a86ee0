/* What we say: docs/protocol.md, section 4. */
#include <math.h>
#include <string.h>

#include "messages.h"

static void begin(inh_writer *w, enum inh_kind kind) {
    if (w->end - w->at < 2) {
        w->bad = true;
        return;
    }
    *w->at++ = INH_WIRE_VERSION;
    *w->at++ = (uint8_t)kind;
}

static void put_names(inh_writer *w, const uint64_t bits[2]) {
    uint32_t count = 0;
    for (int i = 0; i < INH_BUTTONS; i++) count += bits[i / 64] >> i % 64 & 1;
    inh_put_array(w, count);
    for (int i = 0; i < INH_BUTTONS; i++)
        if (bits[i / 64] >> i % 64 & 1) inh_put_str(w, inh_buttons[i]);
}

static void put_controls(inh_writer *w, const inh_controls *c) {
    uint32_t axes = 0;
    for (int i = 0; i < INH_AXES; i++) axes += c->axes[i] != 0;
    inh_put_array(w, 7);
    put_names(w, c->held);
    put_names(w, c->pressed);
    inh_put_map(w, axes);
    for (int i = 0; i < INH_AXES; i++) {
        if (c->axes[i] == 0) continue;
        inh_put_str(w, inh_axes[i]);
        inh_put_double(w, c->axes[i]);
    }
    inh_put_double(w, c->dx);
    inh_put_double(w, c->dy);
    inh_put_double(w, c->scroll);
    if (!c->action_count) {
        inh_put_nil(w);
        return;
    }
    inh_put_array(w, c->action_count);
    for (int i = 0; i < c->action_count; i++) inh_put_double(w, c->action[i]);
}

void inh_write_hello(inh_writer *w, inh_channel channel, const inh_hello *hello) {
    begin(w, INH_HELLO);
    inh_put_map(w, hello->session ? 7 : 4);
    inh_put_str(w, "client");
    inh_put_str(w, hello->name);
    inh_put_str(w, "mode");
    inh_put_str(w, hello->lockstep ? "lockstep" : "free");
    inh_put_str(w, "channel");
    inh_put_str(w, channel == INH_VID ? "vid" : "ctl");
    inh_put_str(w, "takes");
    inh_put_array(w, hello->shared_memory);
    if (hello->shared_memory) inh_put_str(w, "shm");
    if (!hello->session) return;
    inh_put_str(w, "session");
    inh_put_bin(w, hello->session, 16);
    inh_put_str(w, "secret");
    inh_put_bin(w, hello->secret, 16);
    inh_put_str(w, "epoch");
    inh_put_uint(w, hello->epoch);
}

void inh_write_input(inh_writer *w, uint64_t seq, uint64_t epoch, int64_t t_ns, const inh_controls *controls) {
    begin(w, INH_INPUT);
    inh_put_array(w, 4);
    inh_put_uint(w, seq);
    inh_put_uint(w, epoch);
    inh_put_uint(w, (uint64_t)t_ns);
    put_controls(w, controls);
}

/* A map with `more` entries after the request number. */
static void begin_request(inh_writer *w, enum inh_kind kind, uint64_t request, uint32_t more) {
    begin(w, kind);
    inh_put_map(w, 1 + more);
    inh_put_str(w, "request");
    inh_put_uint(w, request);
}

void inh_write_step(inh_writer *w, uint64_t request, int64_t t_ns, const inh_controls *controls) {
    begin_request(w, INH_STEP, request, 2);
    inh_put_str(w, "t_ns");
    inh_put_uint(w, (uint64_t)t_ns);
    inh_put_str(w, "controls");
    put_controls(w, controls);
}

void inh_write_credit(inh_writer *w, uint64_t upto) {
    begin(w, INH_CREDIT);
    inh_put_array(w, 1);
    inh_put_uint(w, upto);
}

void inh_write_reset(inh_writer *w, uint64_t request, int64_t seed, int64_t t_ns) {
    begin_request(w, INH_RESET, request, 2);
    inh_put_str(w, "seed");
    if (seed < 0)
        inh_put_nil(w);
    else
        inh_put_uint(w, (uint64_t)seed);
    inh_put_str(w, "t_ns");
    inh_put_uint(w, (uint64_t)t_ns);
}

void inh_write_set(inh_writer *w, uint64_t request, const char *name, double value) {
    begin_request(w, INH_SET, request, 1);
    inh_put_str(w, "settings");
    inh_put_map(w, 1);
    inh_put_str(w, name);
    if (value >= 0 && value < 9e15 && value == floor(value))
        inh_put_uint(w, (uint64_t)value); /* a count such as steps must not arrive as 2.0 */
    else
        inh_put_double(w, value);
}

void inh_write_prompt(inh_writer *w, uint64_t request, const char *text) {
    begin_request(w, INH_PROMPT, request, 1);
    inh_put_str(w, "text");
    inh_put_str(w, text);
}

void inh_write_plain(inh_writer *w, enum inh_kind kind, uint64_t request) { begin_request(w, kind, request, 0); }

void inh_write_attached(inh_writer *w, bool ok) {
    begin(w, INH_ATTACHED);
    inh_put_map(w, 1);
    inh_put_str(w, "ok");
    inh_put_bool(w, ok);
}

void inh_write_ping(inh_writer *w, int64_t t_ns) {
    begin(w, INH_PING);
    inh_put_map(w, 1);
    inh_put_str(w, "t_ns");
    inh_put_uint(w, (uint64_t)t_ns);
}

void inh_write_bye(inh_writer *w, const char *reason) {
    begin(w, INH_BYE);
    inh_put_map(w, 1);
    inh_put_str(w, "reason");
    inh_put_str(w, reason);
}
