#include "pixels.h"

#include <string.h>

static uint32_t opaque(void) {
    static const uint8_t ALPHA[4] = {0, 0, 0, 255};
    uint32_t bits;
    memcpy(&bits, ALPHA, 4);
    return bits;
}

static void widen(uint8_t *to, const uint8_t *from, size_t count) {
    const uint32_t alpha = opaque();
    size_t i = 0;
    for (; i + 1 < count; i++) { /* four bytes at once: the fourth is the next pixel's, and there is a next pixel */
        uint32_t pixel;
        memcpy(&pixel, from + 3 * i, 4);
        pixel |= alpha;
        memcpy(to + 4 * i, &pixel, 4);
    }
    if (i < count) {
        memcpy(to + 4 * i, from + 3 * i, 3);
        to[4 * i + 3] = 255;
    }
}

void inh_copy_pixels(uint8_t *to, const uint8_t *from, size_t width, size_t height, bool rgba, bool bottom_up) {
    size_t row = width * (rgba ? 4 : 3);
    if (!rgba && !bottom_up) {
        memcpy(to, from, row * height);
        return;
    }
    for (size_t y = 0; y < height; y++) {
        uint8_t *line = to + (bottom_up ? height - 1 - y : y) * row;
        if (rgba)
            widen(line, from + y * width * 3, width);
        else
            memcpy(line, from + y * width * 3, row);
    }
}
