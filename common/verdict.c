/* verdict.c - the spellings of a verdict */
#include "common/verdict.h"

#include <string.h>

static const char *const words[] = {[V_OK] = "ok", [V_TEMP] = "temp", [V_PERM] = "perm"};

const char *verdict_word(enum verdict v)
{
  return words[v];
}

int verdict_read(const char *s, size_t len, enum verdict *v)
{
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (strlen(words[i]) == len && memcmp(words[i], s, len) == 0) {
      *v = (enum verdict)i;
      return 0;
    }
  return -1;
}

enum verdict verdict_of_reply(unsigned int code)
{
  if (code >= 200 && code <= 299)
    return V_OK;
  if (code >= 500 && code <= 599)
    return V_PERM;
  return V_TEMP;
}
