/* fuzz_bdat.c - BDAT's argument, read again by a simpler reader; and a message in two chunks is
 * the same as in one, and in canonical form but for what is marked */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "smtpd/bdat.h"
#include "smtpd/enddata.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* the number and whether LAST follows; -1: no argument of BDAT */
static int plainly(const char *s, size_t len, uint64_t *size)
{
  char text[64];
  size_t digits;
  unsigned __int128 n = 0;

  if (len >= sizeof text || memchr(s, 0, len))
    return -1;
  memcpy(text, s, len);
  text[len] = 0;
  digits = strspn(text, "0123456789");
  for (size_t i = 0; i < digits; i++)
    if ((n = n * 10 + (unsigned)(text[i] - '0')) > UINT64_MAX)
      return -1;
  *size = (uint64_t)n;
  if (digits == 0 || text[digits] == 0)
    return digits ? 0 : -1;
  s = text + digits + strspn(text + digits, " \t");
  return s > text + digits && strcasecmp(s, "LAST") == 0 ? 1 : -1;
}

static void argument(const char *s, size_t len)
{
  uint64_t a = 0, b = 0;
  int is_last, r = bdat_parse(s, len, &a, &is_last), want = plainly(s, len, &b);

  if (len < 64 && (r == 0 ? is_last : -1) != want)
    abort();
  if (r == 0 && len < 64 && a != b)
    abort();
}

static size_t chunks(const char *in, size_t len, size_t first, int takes_lf, struct enddata *e, char *out)
{
  size_t n = 0, got;

  *e = (struct enddata){.is_counted = 1, .takes_lf = takes_lf};
  for (size_t at = 0; at < first;) {
    at += enddata_scan(e, in + at, first - at, out + n, 4 + first % 7, &got);
    n += got;
  }
  for (size_t at = first; at < len;) {
    at += enddata_scan(e, in + at, len - at, out + n, len + 4, &got);
    n += got;
  }
  return n + enddata_close(e, out + n);
}

/* every CR is followed by LF, and every LF follows CR, and the last line is ended */
static int is_canonical(const char *s, size_t len)
{
  for (size_t i = 0; i < len; i++)
    if ((s[i] == '\r' && (i + 1 == len || s[i + 1] != '\n')) || (s[i] == '\n' && (i == 0 || s[i - 1] != '\r')) ||
        s[i] == 0)
      return 0;
  return len == 0 || s[len - 1] == '\n';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  const char *in = (const char *)data;
  char *a = malloc(2 * len + 16), *b = malloc(2 * len + 16);
  struct enddata e, f;

  if (!a || !b)
    abort();
  argument(in, len);
  for (int takes_lf = 0; takes_lf < 2; takes_lf++) {
    size_t na = chunks(in, len, 0, takes_lf, &e, a);
    size_t nb = chunks(in, len, len ? data[0] % len : 0, takes_lf, &f, b);
    if (na != nb || memcmp(a, b, na) != 0 || e.size != na || memcmp(&e, &f, sizeof e) != 0)
      abort();
    if (is_canonical(a, na) != !(e.has_bare_cr || e.has_bare_lf || e.has_nul))
      abort();
    if (takes_lf && e.has_bare_lf)
      abort();
  }
  free(a);
  free(b);
  return 0;
}
