/* From the wire's rows of R G B to the caller's. */
#ifndef INH_PIXELS_H
#define INH_PIXELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void inh_copy_pixels(uint8_t *to, const uint8_t *from, size_t width, size_t height, bool rgba, bool bottom_up);

#endif
