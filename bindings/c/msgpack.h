/* As much of msgpack as the wire needs: https://github.com/msgpack/msgpack/blob/master/spec.md
   Neither end allocates. A writer that runs out of room, and a reader that meets anything unexpected, turns `bad` and
   stays so: check once, at the end. */
#ifndef INH_MSGPACK_H
#define INH_MSGPACK_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint8_t *at, *end;
    bool bad;
} inh_writer;

void inh_put_nil(inh_writer *w);
void inh_put_bool(inh_writer *w, bool value);
void inh_put_uint(inh_writer *w, uint64_t value);
void inh_put_double(inh_writer *w, double value);
void inh_put_str(inh_writer *w, const char *text);
void inh_put_bin(inh_writer *w, const uint8_t *bytes, size_t size); /* at most 255 bytes */
void inh_put_array(inh_writer *w, uint32_t count);
void inh_put_map(inh_writer *w, uint32_t count);

typedef struct {
    const uint8_t *at, *end;
    bool bad;
} inh_reader;

/* Bytes in place, not ended by 0. */
typedef struct {
    const uint8_t *bytes;
    size_t size;
} inh_span;

uint64_t inh_get_uint(inh_reader *r, uint64_t most);
double inh_get_double(inh_reader *r); /* an integer will do; must be finite */
bool inh_get_bool(inh_reader *r);
inh_span inh_get_str(inh_reader *r);
inh_span inh_get_bin(inh_reader *r);
uint32_t inh_get_array(inh_reader *r);
uint32_t inh_get_map(inh_reader *r);
void inh_skip(inh_reader *r); /* one value of any kind */

bool inh_span_is(inh_span span, const char *text);

/* Copy text, ended by 0; what does not fit is cut between characters, and bytes that are no UTF-8 become '?'. */
void inh_copy_text(char *to, size_t capacity, inh_span from);

/* As vsnprintf, but cut between characters. */
void inh_format(char *to, size_t capacity, const char *form, va_list values);

/* Characters of UTF-8 text, -1 when it is none. */
int64_t inh_characters(const uint8_t *text, size_t size);

#endif
