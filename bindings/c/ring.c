#include "ring.h"

#include <string.h>

#if defined(__linux__)
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096, SLOT_HEAD = 16 };

static uint64_t little(const uint8_t *bytes, int size) {
    uint64_t value = 0;
    for (int i = size - 1; i >= 0; i--) value = value << 8 | bytes[i];
    return value;
}

bool inh_ring_possible(void) { return true; }

/* A file that shrank would kill the reader: its size is looked at before every frame. */
static bool is_whole(int file, size_t bytes) {
    struct stat told;
    return fstat(file, &told) == 0 && (told.st_uid == getuid() || told.st_uid == 0) && (size_t)told.st_size == bytes;
}

bool inh_ring_open(inh_ring *ring, const char *name, uint32_t slots, uint32_t slot_bytes) {
    char path[320];
    *ring = (inh_ring){.slots = slots, .slot_bytes = slot_bytes, .bytes = PAGE + (size_t)slots * slot_bytes, .file = -1};
    if (strncmp(name, "inhabit-", 8) != 0 || strchr(name, '/') || slot_bytes < SLOT_HEAD) return false;
    snprintf(path, sizeof path, "/dev/shm/%s", name);
    ring->file = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (ring->file >= 0 && is_whole(ring->file, ring->bytes)) {
        void *memory = mmap(NULL, ring->bytes, PROT_READ, MAP_SHARED, ring->file, 0);
        if (memory != MAP_FAILED) ring->memory = memory;
    }
    const uint8_t *head = ring->memory;
    if (head && memcmp(head, "INHRING1", 8) == 0 && little(head + 8, 4) == slots && little(head + 12, 4) == slot_bytes)
        return true;
    inh_ring_close(ring);
    return false;
}

void inh_ring_close(inh_ring *ring) {
    if (ring->memory) munmap((void *)ring->memory, ring->bytes);
    if (ring->bytes && ring->file >= 0) close(ring->file);
    *ring = (inh_ring){.file = -1};
}

const uint8_t *inh_ring_pixels(const inh_ring *ring, uint32_t slot, uint64_t generation, size_t size) {
    __atomic_thread_fence(__ATOMIC_ACQUIRE); /* what was copied before was copied before we look again */
    if (!ring->memory || !slot || slot > ring->slots || size > ring->slot_bytes - SLOT_HEAD) return NULL;
    if (!is_whole(ring->file, ring->bytes)) return NULL;
    const uint8_t *at = ring->memory + PAGE + (size_t)(slot - 1) * ring->slot_bytes;
    if (little(at, 8) != generation || little(at + 8, 8) != size) return NULL;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return at + SLOT_HEAD;
}

#else

bool inh_ring_possible(void) { return false; }

bool inh_ring_open(inh_ring *ring, const char *name, uint32_t slots, uint32_t slot_bytes) {
    (void)name, (void)slots, (void)slot_bytes;
    *ring = (inh_ring){.file = -1};
    return false;
}

void inh_ring_close(inh_ring *ring) { ring->memory = NULL; }

const uint8_t *inh_ring_pixels(const inh_ring *ring, uint32_t slot, uint64_t generation, size_t size) {
    (void)ring, (void)slot, (void)generation, (void)size;
    return NULL;
}

#endif
