/* fuzz_tables.c - control tables: the first line names the table, the rest are its lines */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "conf/lines.h"
#include "conf/tabletypes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct tabletype *named(const struct line *l)
{
  for (size_t i = 0; i < tabletypes_count(); i++) {
    const struct tabletype *t = tabletypes_row(i);
    if (strlen(t->name) == l->keylen && memcmp(t->name, l->key, l->keylen) == 0)
      return t;
  }
  return tabletypes_row(0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  const struct tabletype *t = NULL;
  struct tablekey key = {.prefix = ""};
  stralloc text = {0}, why = {0};
  struct lines ls;
  struct line l;
  const char *reason;
  int got;

  if (size == 0 || !stralloc_copyb(&text, (const char *)data, size))
    return 0;
  lines_start(&ls, &text);
  while ((got = lines_next(&ls, &l, &reason)) != 0) {
    if (got < 0 || l.keylen == 0)
      continue;
    if (!t) {
      t = named(&l);
      continue;
    }
    key.is_net = 0;
    key.prefix = "";
    if (t->key(l.key, l.keylen, &key, &reason) == 0)
      t->value(&key, l.value, l.valuelen, &why);
  }
  stralloc_free(&text);
  stralloc_free(&why);
  stralloc_free(&key.text);
  return 0;
}
