/* fuzz_enddata.c - any chunking gives the same message, and the same as a plain reading
 * of RFC 5321 byte by byte */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd/enddata.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* bytes up to the end (len when there is none), the message in out */
static size_t plainly(const char *in, size_t len, char *out, size_t *outlen)
{
  int at_start = 1;
  size_t i = 0;

  *outlen = 0;
  while (i < len) {
    if (at_start && in[i] == '.') {
      if (len - i >= 3 && in[i + 1] == '\r' && in[i + 2] == '\n')
        return i + 3;
      i++;
      at_start = 0;
      continue;
    }
    at_start = in[i] == '\n' && i > 0 && in[i - 1] == '\r';
    out[(*outlen)++] = in[i++];
  }
  return len;
}

/* the same for a client whose bare LF ends a line */
static size_t plainly_lf(const char *in, size_t len, char *out, size_t *outlen)
{
  int at_start = 1, after_lf = 0;
  size_t i = 0;

  *outlen = 0;
  while (i < len) {
    if (at_start && in[i] == '.') {
      int is_crlf = len - i >= 3 && in[i + 1] == '\r' && in[i + 2] == '\n';
      int is_alone = is_crlf || (len - i >= 2 && in[i + 1] == '\n');
      if (is_crlf && !after_lf)
        return i + 3;
      if (is_alone)
        out[(*outlen)++] = '.';
      i++;
      at_start = 0;
      continue;
    }
    at_start = in[i] == '\n';
    after_lf = at_start && (i == 0 || in[i - 1] != '\r');
    if (after_lf)
      out[(*outlen)++] = '\r';
    out[(*outlen)++] = in[i++];
  }
  return len;
}

static size_t chunked(struct enddata *e, int takes_lf, const char *in, size_t len, char *out,
                      size_t *outlen)
{
  size_t at = 0, step = len ? (unsigned char)in[len / 2] % 9 + 1 : 1;

  *e = (struct enddata){.takes_lf = takes_lf};
  *outlen = 0;
  while (at < len && !e->is_over) {
    size_t n = len - at < step ? len - at : step, got;
    at += enddata_scan(e, in + at, n, out + *outlen, step + 4, &got);
    *outlen += got;
  }
  return at;
}

static void compare(const char *in, size_t len, int takes_lf)
{
  size_t room = 2 * len + 16;
  char *a = malloc(room), *b = malloc(room), *c = malloc(room);
  size_t na, nb, nc, ua, ub, uc;
  struct enddata e = {.takes_lf = takes_lf}, f;

  if (!a || !b || !c)
    abort();
  ua = enddata_scan(&e, in, len, a, room, &na);
  ub = chunked(&f, takes_lf, in, len, b, &nb);
  uc = (takes_lf ? plainly_lf : plainly)(in, len, c, &nc);
  if (ua != ub || na != nb || memcmp(a, b, na) != 0 || memcmp(&e, &f, sizeof e) != 0)
    abort();
  if (e.is_over ? ua != uc || na != nc : na > nc) /* a CR behind a last dot is held back */
    abort();
  if (memcmp(a, c, na) != 0 || e.size != na)
    abort();
  free(a);
  free(b);
  free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  compare((const char *)data, len, 0);
  compare((const char *)data, len, 1);
  return 0;
}
