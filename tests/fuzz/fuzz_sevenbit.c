/* fuzz_sevenbit.c - conversion never fails, changes nothing the second time, makes no
 * line begin with a dot that did not */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <stralloc.h>

#include "deliver/sevenbit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static ssize_t read_bytes(void *arg, char *buf, size_t len, uint64_t at)
{
  const stralloc *s = arg;
  size_t n = s->len - at < len ? s->len - at : len;

  memcpy(buf, s->s + at, n);
  return (ssize_t)n;
}

static int write_bytes(void *arg, const char *s, size_t len)
{
  return stralloc_catb(arg, s, len) ? 0 : -1;
}

static void convert(stralloc *in, stralloc *out, int only_lines)
{
  struct sevenbit_source source = {read_bytes, in, in->len};
  struct sevenbit_sink sink = {write_bytes, out};

  out->len = 0;
  if (sevenbit_convert(&source, &sink, only_lines) != 0)
    abort();
}

static size_t dot_lines(const stralloc *s)
{
  size_t n = 0;

  for (size_t i = 0; i < s->len; i++)
    n += s->s[i] == '.' && (i == 0 || (i > 1 && memcmp(s->s + i - 2, "\r\n", 2) == 0));
  return n;
}

static void check(stralloc *in, int only_lines)
{
  static stralloc once, twice;

  convert(in, &once, only_lines);
  convert(&once, &twice, only_lines);
  if (once.len != twice.len || (once.len && memcmp(once.s, twice.s, once.len) != 0) ||
      dot_lines(&once) > dot_lines(in))
    abort();
}

/* half of a fuzzer's bytes are spent on line ends: LF stands for CR LF here */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  static stralloc in;

  in.len = 0;
  for (size_t i = 0; i < len; i++)
    if (!stralloc_catb(&in, data[i] == '\n' ? "\r\n" : (const char *)data + i,
                       data[i] == '\n' ? 2 : 1))
      abort();
  check(&in, 0);
  check(&in, 1);
  return 0;
}
