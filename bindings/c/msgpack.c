#include "msgpack.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { DEEPEST = 32 };

/* ---------------------------------------------------------------------------------------------------------- writing */

static void put(inh_writer *w, const void *bytes, size_t size) {
    if (w->bad || (size_t)(w->end - w->at) < size) {
        w->bad = true;
        return;
    }
    if (size) memcpy(w->at, bytes, size);
    w->at += size;
}

/* A type byte and a big-endian number of 1, 2, 4 or 8 bytes. */
static void put_number(inh_writer *w, uint8_t type, uint64_t value, int size) {
    uint8_t bytes[9] = {type};
    for (int i = 0; i < size; i++) bytes[1 + i] = (uint8_t)(value >> 8 * (size - 1 - i));
    put(w, bytes, 1 + (size_t)size);
}

void inh_put_nil(inh_writer *w) { put_number(w, 0xc0, 0, 0); }

void inh_put_bool(inh_writer *w, bool value) { put_number(w, value ? 0xc3 : 0xc2, 0, 0); }

void inh_put_uint(inh_writer *w, uint64_t value) {
    if (value < 0x80)
        put_number(w, (uint8_t)value, 0, 0);
    else if (value <= UINT8_MAX)
        put_number(w, 0xcc, value, 1);
    else if (value <= UINT16_MAX)
        put_number(w, 0xcd, value, 2);
    else if (value <= UINT32_MAX)
        put_number(w, 0xce, value, 4);
    else
        put_number(w, 0xcf, value, 8);
}

void inh_put_double(inh_writer *w, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_number(w, 0xcb, bits, 8);
}

void inh_put_str(inh_writer *w, const char *text) {
    size_t size = strlen(text);
    if (size < 32)
        put_number(w, (uint8_t)(0xa0 | size), 0, 0);
    else if (size <= UINT8_MAX)
        put_number(w, 0xd9, size, 1);
    else if (size <= UINT16_MAX)
        put_number(w, 0xda, size, 2);
    else
        w->bad = true;
    put(w, text, size);
}

void inh_put_bin(inh_writer *w, const uint8_t *bytes, size_t size) {
    if (size > UINT8_MAX) w->bad = true;
    put_number(w, 0xc4, size, 1);
    put(w, bytes, size);
}

void inh_put_array(inh_writer *w, uint32_t count) {
    if (count < 16)
        put_number(w, (uint8_t)(0x90 | count), 0, 0);
    else
        put_number(w, 0xdc, count, 2);
    if (count > UINT16_MAX) w->bad = true;
}

void inh_put_map(inh_writer *w, uint32_t count) {
    if (count < 16)
        put_number(w, (uint8_t)(0x80 | count), 0, 0);
    else
        w->bad = true;
}

/* ---------------------------------------------------------------------------------------------------------- reading */

static const uint8_t *take(inh_reader *r, size_t size) {
    if (r->bad || (size_t)(r->end - r->at) < size) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *bytes = r->at;
    r->at += size;
    return bytes;
}

static uint64_t take_number(inh_reader *r, size_t size) {
    const uint8_t *bytes = take(r, size);
    uint64_t value = 0;
    for (size_t i = 0; bytes && i < size; i++) value = value << 8 | bytes[i];
    return value;
}

static uint8_t take_type(inh_reader *r) {
    const uint8_t *byte = take(r, 1);
    return byte ? *byte : 0xc1; /* 0xc1 is never used */
}

uint64_t inh_get_uint(inh_reader *r, uint64_t most) {
    uint8_t type = take_type(r);
    uint64_t value = 0, sign = 0;
    if (type < 0x80)
        value = type;
    else if (type >= 0xcc && type <= 0xcf)
        value = take_number(r, (size_t)1 << (type - 0xcc));
    else if (type >= 0xd0 && type <= 0xd3) { /* signed, but not below 0 */
        size_t size = (size_t)1 << (type - 0xd0);
        value = take_number(r, size);
        sign = value >> (8 * size - 1) & 1;
    } else
        r->bad = true;
    if (sign || value > most) r->bad = true;
    return r->bad ? 0 : value;
}

static double real(uint64_t bits, size_t size) {
    if (size == 8) {
        double value;
        memcpy(&value, &bits, sizeof value);
        return value;
    }
    uint32_t half = (uint32_t)bits;
    float value;
    memcpy(&value, &half, sizeof value);
    return value;
}

double inh_get_double(inh_reader *r) {
    uint8_t type = r->at < r->end ? *r->at : 0xc1;
    double value = 0;
    if (type == 0xca || type == 0xcb) {
        size_t size = type == 0xca ? 4 : 8;
        take(r, 1);
        value = real(take_number(r, size), size);
    } else if (type >= 0xe0) {
        take(r, 1);
        value = (int8_t)type;
    } else if (type >= 0xd0 && type <= 0xd3) {
        size_t size = (size_t)1 << (type - 0xd0);
        take(r, 1);
        uint64_t bits = take_number(r, size);
        if (size < 8 && bits >> (8 * size - 1)) bits |= UINT64_MAX << 8 * size;
        value = (double)(int64_t)bits;
    } else
        value = (double)inh_get_uint(r, UINT64_MAX);
    if (!isfinite(value)) r->bad = true;
    return r->bad ? 0 : value;
}

bool inh_get_bool(inh_reader *r) {
    uint8_t type = take_type(r);
    if (type != 0xc2 && type != 0xc3) r->bad = true;
    return type == 0xc3;
}

/* The bytes of a str or bin: `fix` is the mask of its short form (0: none), `long_form` the type with 1 byte of size. */
static inh_span get_span(inh_reader *r, uint8_t fix, uint8_t long_form) {
    inh_span span = {NULL, 0};
    uint8_t type = take_type(r);
    size_t size = 0;
    if (fix && (type & 0xe0) == fix)
        size = type & 0x1f;
    else if (type >= long_form && type < long_form + 3)
        size = (size_t)take_number(r, (size_t)1 << (type - long_form));
    else
        r->bad = true;
    const uint8_t *bytes = take(r, size);
    if (bytes) span = (inh_span){bytes, size};
    return span;
}

inh_span inh_get_str(inh_reader *r) { return get_span(r, 0xa0, 0xd9); }

inh_span inh_get_bin(inh_reader *r) { return get_span(r, 0, 0xc4); }

static uint32_t get_count(inh_reader *r, uint8_t fix, uint8_t long_form, size_t least) {
    uint8_t type = take_type(r);
    uint32_t count = 0;
    if ((type & 0xf0) == fix)
        count = type & 0x0f;
    else if (type == long_form || type == long_form + 1)
        count = (uint32_t)take_number(r, type == long_form ? 2 : 4);
    else
        r->bad = true;
    if ((size_t)(r->end - r->at) / least < count) r->bad = true; /* more elements than bytes: do not even begin */
    return r->bad ? 0 : count;
}

uint32_t inh_get_array(inh_reader *r) { return get_count(r, 0x90, 0xdc, 1); }

uint32_t inh_get_map(inh_reader *r) { return get_count(r, 0x80, 0xde, 2); }

static void skip(inh_reader *r, int depth) {
    uint8_t type = r->at < r->end ? *r->at : 0xc1;
    if (r->bad || depth > DEEPEST || type == 0xc1) {
        r->bad = true;
    } else if ((type & 0xf0) == 0x90 || type == 0xdc || type == 0xdd) {
        for (uint32_t left = inh_get_array(r); left && !r->bad; left--) skip(r, depth + 1);
    } else if ((type & 0xf0) == 0x80 || type == 0xde || type == 0xdf) {
        for (uint32_t left = inh_get_map(r); left && !r->bad; left--) {
            skip(r, depth + 1);
            skip(r, depth + 1);
        }
    } else if ((type & 0xe0) == 0xa0 || (type >= 0xd9 && type <= 0xdb)) {
        inh_get_str(r);
    } else if (type >= 0xc4 && type <= 0xc6) {
        inh_get_bin(r);
    } else if (type >= 0xc7 && type <= 0xc9) { /* ext: size, type, bytes */
        take(r, 1);
        size_t size = (size_t)take_number(r, (size_t)1 << (type - 0xc7));
        take(r, 1);
        take(r, size);
    } else if (type >= 0xd4 && type <= 0xd8) { /* fixext */
        take(r, 2 + ((size_t)1 << (type - 0xd4)));
    } else if (type == 0xca || type == 0xcb) {
        take(r, type == 0xca ? 5 : 9);
    } else if (type >= 0xcc && type <= 0xd3) {
        take(r, 1 + ((size_t)1 << ((type - 0xcc) & 3)));
    } else {
        take(r, 1); /* fixint, nil, bool */
    }
}

void inh_skip(inh_reader *r) { skip(r, 0); }

/* ------------------------------------------------------------------------------------------------------------- text */

bool inh_span_is(inh_span span, const char *text) {
    return span.bytes && strlen(text) == span.size && memcmp(span.bytes, text, span.size) == 0;
}

/* Bytes of the UTF-8 character at the start, 0 when there is none: Unicode standard, table 3-7. */
static size_t character(const uint8_t *text, size_t size) {
    uint8_t first = text[0];
    if (first < 0x80) return 1;
    size_t length = first >= 0xc2 && first <= 0xdf ? 2 : (first & 0xf0) == 0xe0 ? 3 : first >= 0xf0 && first <= 0xf4 ? 4 : 0;
    if (!length || length > size) return 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80) return 0;
    if ((first == 0xe0 && text[1] < 0xa0) || (first == 0xed && text[1] > 0x9f)) return 0;
    if ((first == 0xf0 && text[1] < 0x90) || (first == 0xf4 && text[1] > 0x8f)) return 0;
    return length;
}

void inh_copy_text(char *to, size_t capacity, inh_span from) {
    size_t written = 0;
    for (size_t at = 0; at < from.size;) {
        size_t length = character(from.bytes + at, from.size - at);
        if (written + (length ? length : 1) >= capacity) break;
        if (length && from.bytes[at])
            memcpy(to + written, from.bytes + at, length);
        else
            to[written] = '?';
        written += length ? length : 1;
        at += length ? length : 1;
    }
    to[written] = 0;
}

void inh_format(char *to, size_t capacity, const char *form, va_list values) {
    char all[2048];
    int size = vsnprintf(all, sizeof all, form, values);
    size_t kept = size < 0 ? 0 : (size_t)size < sizeof all ? (size_t)size : sizeof all - 1;
    inh_copy_text(to, capacity, (inh_span){(const uint8_t *)all, kept});
}

int64_t inh_characters(const uint8_t *text, size_t size) {
    int64_t count = 0;
    for (size_t at = 0; at < size; count++) {
        size_t length = character(text + at, size - at);
        if (!length) return -1;
        at += length;
    }
    return count;
}
