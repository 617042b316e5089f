/* test_ehlo.c - what peers offer (LADDER.md E15-E20, X8-X10, X23, X25) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/verbs.h"
#include "deliver/ehlo.h"

static const struct {
  const char *row, *text;
  uint32_t verbs;
  uint64_t size, mail_max, rcpt_max;
} cases[] = {
  {"E15", "mx.example", 0, 0, 0, 0},
  {"E15", "", 0, 0, 0, 0},
  {"E16", "\nPIPELINING", VERB_PIPELINING, 0, 0, 0},
  {"E17", "mx\npipelining\n8BitMime\nsize 100000", VERB_PIPELINING | VERB_8BITMIME | VERB_SIZE,
   100000, 0, 0},
  {"E18", "mx\nSIZE 300000\nSIZE 200000\nSIZE 0\nSIZE", VERB_SIZE, 200000, 0, 0},
  {"E19", "mx\nAUTH=LOGIN\nSIZE=70000\n\tDSN\n\n\x01\n8BITMIME ", VERB_AUTH | VERB_SIZE | VERB_DSN |
   VERB_8BITMIME, 70000, 0, 0},
  {"E20", "8BITMIME PIPELINING\nDSN", VERB_DSN, 0, 0, 0},
  {"X9", "mx\nSIZE x12", VERB_SIZE, 0, 0, 0},
  {"X9", "mx\nSIZE -1", VERB_SIZE, 0, 0, 0},
  {"X9", "mx\nSIZE 99999999999999999999999", VERB_SIZE, 0, 0, 0},
  {"X25", "mx\nLIMITS MAILMAX=5 RCPTMAX=20 FOO=1 RCPTDOMAINMAX=2", VERB_LIMITS, 0, 5, 20},
  {"X25", "mx\nLIMITS RCPTMAX", VERB_LIMITS, 0, 0, 0},
  {"-", "mx\n8BITMIMEX\nX8BITMIME\nDS", 0, 0, 0, 0},
};

static void test_offers(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct ehlo e;
    ehlo_parse(cases[i].text, strlen(cases[i].text), &e);
    if (e.verbs != cases[i].verbs || e.size != cases[i].size || e.mail_max != cases[i].mail_max ||
        e.rcpt_max != cases[i].rcpt_max)
      fail_msg("%s case %zu: verbs %x size %llu mail %llu rcpt %llu", cases[i].row, i, e.verbs,
               (unsigned long long)e.size, (unsigned long long)e.mail_max,
               (unsigned long long)e.rcpt_max);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_offers)};

  return cmocka_run_group_tests_name("ehlo", tests, NULL, NULL);
}
