/* fuzz_dnslist.c - up to 8 answers: a byte saying how many, four bytes each; the rest: a value of
 * table dnslists */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/dnslist.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(int fact)
{
  if (!fact)
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  char name[DNSLIST_NAME_MAX + 1];
  struct ip answer[8];
  struct dnslist l;
  const char *why = NULL, *s;
  size_t n;
  int sum = 0, weight;

  if (len == 0)
    return 0;
  n = data[0] % 9;
  if (len < 1 + n * 4)
    return 0;
  for (size_t i = 0; i < n; i++) {
    answer[i] = (struct ip){.family = 4};
    memcpy(answer[i].bytes, data + 1 + i * 4, 4);
    check(dnslist_name(name, &answer[i], "list.example") == 0 && strlen(name) < sizeof name);
  }
  s = (const char *)data + 1 + n * 4;
  len -= 1 + n * 4;
  if (dnslist_parse(s, len, &l, &why) != 0) {
    check(why != NULL);
    return 0;
  }
  check(l.n > 0 && l.n <= DNSLIST_TERMS);
  check(l.urllen == 0 || (l.url >= s && l.url + l.urllen <= s + len));
  for (size_t i = 0; i < l.n; i++) {
    check(l.term[i].weight != 0 && abs(l.term[i].weight) <= DNSLIST_WEIGHT);
    sum += abs(l.term[i].weight);
    for (int k = 0; k < 4; k++)
      check(l.term[i].low[k] <= l.term[i].high[k]);
  }
  weight = dnslist_weigh(&l, answer, n);
  check(abs(weight) <= sum && (n > 0 || weight == 0));
  return 0;
}
