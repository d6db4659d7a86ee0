#include "sound.h"

#include <stdlib.h>

bool inh_sound_init(inh_sound *s, size_t rate_hz, size_t channels) {
    *s = (inh_sound){0};
    if (!rate_hz || !channels) return true;
    s->channels = channels;
    s->capacity = rate_hz / 2 + 1;
    s->samples = calloc(s->capacity * channels, sizeof *s->samples);
    return s->samples != NULL;
}

void inh_sound_free(inh_sound *s) {
    free(s->samples);
    *s = (inh_sound){0};
}

void inh_sound_clear(inh_sound *s) { s->at = s->count = 0; }

void inh_sound_put(inh_sound *s, const uint8_t *bytes, size_t count) {
    if (!s->samples) return;
    if (count > s->capacity) {
        bytes += (count - s->capacity) * s->channels * 2;
        count = s->capacity;
    }
    size_t over = s->count + count > s->capacity ? s->count + count - s->capacity : 0;
    s->at = (s->at + over) % s->capacity;
    s->count -= over;
    for (size_t i = 0; i < count; i++) {
        int16_t *to = s->samples + (s->at + s->count + i) % s->capacity * s->channels;
        for (size_t c = 0; c < s->channels; c++, bytes += 2) to[c] = (int16_t)(bytes[0] | bytes[1] << 8);
    }
    s->count += count;
}

size_t inh_sound_take(inh_sound *s, int16_t *to, size_t most) {
    size_t count = most < s->count ? most : s->count;
    for (size_t i = 0; i < count; i++)
        for (size_t c = 0; c < s->channels; c++)
            *to++ = s->samples[(s->at + i) % s->capacity * s->channels + c];
    if (count) s->at = (s->at + count) % s->capacity;
    s->count -= count;
    return count;
}
