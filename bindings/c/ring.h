/* Frames through memory that the sidecar shares with us, on one Linux machine: docs/protocol.md, section 7.2. */
#ifndef INH_RING_H
#define INH_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const uint8_t *memory; /* NULL: none */
    size_t bytes;
    uint32_t slots, slot_bytes;
    int file;
} inh_ring;

/* Can this build share memory at all? */
bool inh_ring_possible(void);

/* Map the ring of that name. False when it cannot be had, or is none. */
bool inh_ring_open(inh_ring *ring, const char *name, uint32_t slots, uint32_t slot_bytes);
void inh_ring_close(inh_ring *ring);

/* The pixels of a slot while it holds that frame, NULL when it holds another by now. Look again after you copied. */
const uint8_t *inh_ring_pixels(const inh_ring *ring, uint32_t slot, uint64_t generation, size_t size);

#endif
