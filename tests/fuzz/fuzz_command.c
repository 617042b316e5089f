/* fuzz_command.c - parts of a command line lie inside it */
#include <stdint.h>
#include <stdlib.h>

#include "smtpd/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void inside(const char *s, size_t n, const char *line, size_t len)
{
  if (n > 0 && (s < line || s + n > line + len))
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  const char *line = (const char *)data, *rest;
  struct command_param p;
  struct command c;
  size_t left;

  command_parse(line, len, &c);
  inside(c.verb, c.verblen, line, len);
  inside(c.arg, c.arglen, line, len);
  if (command_after(&c, "FROM", &rest, &left) != 0) {
    rest = c.arg;
    left = c.arglen;
  }
  inside(rest, left, line, len);
  while (command_param(&rest, &left, &p) > 0) {
    inside(p.key, p.keylen, line, len);
    inside(p.value, p.valuelen, line, len);
    if (p.keylen == 0 || (p.has_value && p.valuelen == 0))
      abort();
  }
  return 0;
}
