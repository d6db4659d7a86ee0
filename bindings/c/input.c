/* Input: the third section of inhabit.h. It is only noted here; the next turn says it. */
#include <math.h>
#include <string.h>

#include "platform.h"
#include "session.h"

static uint32_t count_bits(const uint64_t bits[2]) {
    uint32_t count = 0;
    for (int i = 0; i < INH_BUTTONS; i++) count += bits[i / 64] >> i % 64 & 1;
    return count;
}

int inhabit_button(inhabit_client client, const char *name, int down) {
    int result = INHABIT_OK;
    inh_session *s = inh_enter(client, &result);
    if (!s) return result;
    int index = name ? inh_button_index(name) : -1;
    if (index < 0)
        return inh_leave(client, inh_fail(INHABIT_ERROR_ARGUMENT,
            "Expected a W3C key code such as KeyW, Mouse0 to Mouse4 or a Pad button such as PadA, got \"%.40s\"", name ? name : "NULL"));
    inh_controls *c = &s->link.controls;
    uint64_t bit = (uint64_t)1 << index % 64, *held = &c->held[index / 64];
    if (down ? (*held & bit) != 0 : (*held & bit) == 0) return inh_leave(client, INHABIT_OK); /* key repeat */
    if (down && count_bits(c->held) == INH_MAX_HELD)
        return inh_leave(client, inh_fail(INHABIT_ERROR_ARGUMENT, "Expected at most %d buttons at once, got one more", INH_MAX_HELD));
    if (down && count_bits(c->pressed) < INH_MAX_HELD) c->pressed[index / 64] |= bit;
    *held = down ? *held | bit : *held & ~bit;
    inh_link_touch(&s->link, inh_now_ns());
    return inh_leave(client, INHABIT_OK);
}

int inhabit_axis(inhabit_client client, const char *name, double value) {
    int result = INHABIT_OK;
    inh_session *s = inh_enter(client, &result);
    if (!s) return result;
    int index = name ? inh_axis_index(name) : -1;
    if (index < 0)
        return inh_leave(client, inh_fail(INHABIT_ERROR_ARGUMENT,
            "Expected an axis (PadLX, PadLY, PadRX, PadRY, PadLT, PadRT), got \"%.40s\"", name ? name : "NULL"));
    double least = index < INH_TRIGGERS_FROM ? -1 : 0;
    if (!(value >= least && value <= 1))
        return inh_leave(client, inh_fail(INHABIT_ERROR_ARGUMENT, "Expected %s from %g to 1, got %g", name, least, value));
    if (s->link.controls.axes[index] != value) {
        s->link.controls.axes[index] = value;
        inh_link_touch(&s->link, inh_now_ns());
    }
    return inh_leave(client, INHABIT_OK);
}

static double travelled(double sum, double more) { return fmax(-1e6, fmin(1e6, sum + more)); }

int inhabit_mouse(inhabit_client client, double dx, double dy, double scroll) {
    int result = INHABIT_OK;
    inh_session *s = inh_enter(client, &result);
    if (!s) return result;
    if (!isfinite(dx) || !isfinite(dy) || !isfinite(scroll))
        return inh_leave(client, inh_fail(INHABIT_ERROR_ARGUMENT, "Expected finite travel, got %g, %g, %g", dx, dy, scroll));
    if (dx == 0 && dy == 0 && scroll == 0) return inh_leave(client, INHABIT_OK);
    inh_controls *c = &s->link.controls;
    c->dx = travelled(c->dx, dx);
    c->dy = travelled(c->dy, dy);
    c->scroll = travelled(c->scroll, scroll);
    inh_link_touch(&s->link, inh_now_ns());
    return inh_leave(client, INHABIT_OK);
}

int inhabit_act(inhabit_client client, const float *values, size_t count) {
    int result = INHABIT_OK;
    inh_session *s = inh_enter(client, &result);
    if (!s) return result;
    if (count && (!values || count > INH_MAX_ACTIONS || (s->link.joined && count != s->link.world.actions)))
        return inh_leave(client, inh_fail(INHABIT_ERROR_ARGUMENT, "Expected as many numbers as the world has actions (%u), got %zu",
                                          (unsigned)s->link.world.actions, values ? count : 0));
    for (size_t i = 0; i < count; i++)
        if (!(values[i] >= -1e6f && values[i] <= 1e6f))
            return inh_leave(client, inh_fail(INHABIT_ERROR_ARGUMENT, "Expected numbers from -1e6 to 1e6, got %g at %zu",
                                              (double)values[i], i));
    if (count) memcpy(s->link.controls.action, values, count * sizeof *values);
    s->link.controls.action_count = (uint16_t)count;
    inh_link_touch(&s->link, inh_now_ns());
    return inh_leave(client, INHABIT_OK);
}

int inhabit_release(inhabit_client client) {
    int result = INHABIT_OK;
    inh_session *s = inh_enter(client, &result);
    if (!s) return result;
    memset(&s->link.controls, 0, sizeof s->link.controls);
    inh_link_touch(&s->link, inh_now_ns());
    return inh_leave(client, INHABIT_OK);
}
