/* Sound that waits for the caller: half a second at most, the oldest is dropped. */
#ifndef INH_SOUND_H
#define INH_SOUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    int16_t *samples; /* interleaved; NULL for a silent world */
    size_t channels, capacity, at, count; /* in samples for each channel */
} inh_sound;

bool inh_sound_init(inh_sound *sound, size_t rate_hz, size_t channels);
void inh_sound_free(inh_sound *sound);
void inh_sound_clear(inh_sound *sound);

/* `bytes` holds `count` samples for each channel, little-endian. */
void inh_sound_put(inh_sound *sound, const uint8_t *bytes, size_t count);

/* Returns how many samples for each channel were written, at most `most`. */
size_t inh_sound_take(inh_sound *sound, int16_t *to, size_t most);

#endif
