/* fuzz_complete.c - completed in pieces or at once the same; what is put in stands there once, and
 * taken out again leaves what came */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd/complete.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* bytes that no input has: it is cut at 0x01 */
static const struct complete_texts all = {{"\001Date: d\r\n", "\001Message-ID: m\r\n", "\001From: f\r\n"}}, nothing;

static size_t run(const struct complete_texts *t, const char *in, size_t len, size_t piece, char *out, struct complete *c)
{
  size_t n = 0;

  *c = (struct complete){.state = COMPLETE_LINE};
  for (size_t at = 0; at < len; at += piece) {
    size_t part = len - at < piece ? len - at : piece, got = complete_scan(c, t, in + at, part, out + n);
    if (got > part + COMPLETE_ROOM)
      abort();
    n += got;
  }
  return n + complete_end(c, t, out + n);
}

/* takes the fields out again, and counts them */
static size_t strip(char *s, size_t len, unsigned int *fields)
{
  size_t n = 0;

  *fields = 0;
  for (size_t i = 0; i < len;)
    if (s[i] == 1) {
      i = (size_t)((char *)memchr(s + i, '\n', len - i) - s) + 1;
      (*fields)++;
    } else {
      s[n++] = s[i++];
    }
  return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  const char *in = (const char *)data;
  const char *cut = memchr(in, 1, len);
  char *a, *b;
  struct complete c, d;
  size_t na, nb;
  unsigned int fields;

  len = cut ? (size_t)(cut - in) : len;
  a = malloc(len + 2 * COMPLETE_ROOM);
  b = malloc(len + 2 * COMPLETE_ROOM);
  if (!a || !b)
    abort();
  for (int i = 0; i < 2; i++) {
    na = run(i ? &nothing : &all, in, len, len + 1, a, &c);
    nb = run(i ? &nothing : &all, in, len, len ? data[0] % 9 + 1 : 1, b, &d);
    if (na != nb || memcmp(a, b, na) != 0)
      abort();
    na = strip(a, na, &fields);
    if (fields > (i ? 0 : 3) || na > len + 2 || na < len)
      abort();
    if (na == len && memcmp(a, in, len) != 0)
      abort();
  }
  free(a);
  free(b);
  return 0;
}
