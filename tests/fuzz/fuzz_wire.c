/* fuzz_wire.c - what is decoded is encoded to the same bytes; nothing else is taken */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(const struct wire_msg *m, const char *s, size_t len)
{
  static stralloc again, text;
  struct wire_out o;
  uint64_t v;

  wire_start(&o, m->type);
  for (size_t i = 0; i < m->n; i++) {
    wire_bytes(&o, m->f[i].s, m->f[i].len);
    wire_get_num(m, i, UINT64_MAX, &v);
    if (wire_get_text(m, i, 100, &text) == 0 && (text.len > 100 || strlen(text.s) != text.len))
      abort();
  }
  if (wire_encode(&o, &again) == 0 && (again.len != len || memcmp(again.s, s, len) != 0))
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  const char *s = (const char *)data, *why;
  struct wire_msg m;

  for (int link = 0; link < LINK_COUNT; link++)
    for (int side = WIRE_LOW; side <= WIRE_HIGH; side++)
      if (wire_decode(s, len, (enum wire_link)link, (enum wire_side)side, &m, &why) == 0)
        check(&m, s, len);
      else if (!why || !*why)
        abort();
  return 0;
}
