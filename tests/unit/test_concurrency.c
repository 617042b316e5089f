/* test_concurrency.c - the window of a destination, as a table of what happens and what is left */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "queue/concurrency.h"

static const struct concurrency_limits limits = {5, 20};

/* events: + taken up with the window full, o taken up with one flying, - no host, p a probe found
 * none; then the places there are */
static void test_events(void **state)
{
  static const struct {
    const char *events;
    uint32_t places;
  } c[] = {
    {"", 5},
    {"o", 5},
    {"oooooooooo", 5},       /* what is not used proves nothing */
    {"+", 6},
    {"+++++", 10},           /* doubles with each round */
    {"+++++++++++++++", 20},
    {"++++++++++++++++++++++++++", 20},
    {"-", 4},
    {"-+", 4},               /* slow above half of what failed */
    {"-++++++++", 4},
    {"-+++++++++", 5},
    {"--", 3},
    {"----", 1},
    {"-----", 0},            /* as many in a row as there were places: down */
    {"----o--", 1},          /* not in a row */
    {"----o---", 0},
    {"-o-o-o-o-o-o-o", 1},   /* half of them fail: it does not go down */
    {"++++++++++++++++--------------------", 0},
    {"++++++++++++++++-------------------", 1},
    {"-----+", 2},           /* back: from small */
    {"-----o", 2},
    {"-----++", 3},
    {"-----+++++", 6},       /* but fast */
    {"---------", 0},        /* stragglers */
    {"-----pppp", 0},
    {"-----pppp+", 2},
  };

  (void)state;
  for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
    struct concurrency w;
    concurrency_start(&w, &limits);
    for (const char *e = c[i].events; *e; e++) {
      if (*e == '+' || *e == 'o')
        concurrency_took(&w, &limits, *e == '+' ? concurrency_places(&w) : 1);
      else
        concurrency_failed(&w, *e == 'p');
    }
    if (concurrency_places(&w) != c[i].places)
      fail_msg("\"%s\": %u places instead of %u", c[i].events, concurrency_places(&w), c[i].places);
  }
}

/* one message that fails again and again says little of its host */
static void test_one_place(void **state)
{
  static const struct concurrency_limits one = {1, 1};
  struct concurrency w;

  (void)state;
  concurrency_start(&w, &one);
  assert_int_equal(concurrency_places(&w), 1);
  concurrency_failed(&w, 0);
  assert_int_equal(concurrency_places(&w), 1);
  concurrency_failed(&w, 0);
  assert_int_equal(concurrency_places(&w), 1);
  concurrency_failed(&w, 0);
  assert_int_equal(concurrency_places(&w), 0);
  concurrency_took(&w, &one, 1);
  assert_int_equal(concurrency_places(&w), 1);
}

/* a peer that takes `most` connections and refuses the rest is used to the full, and few are refused */
static void test_a_peer_with_a_limit(void **state)
{
  static const uint32_t peers[] = {1, 3, 8, 19};

  (void)state;
  for (size_t p = 0; p < sizeof peers / sizeof *peers; p++) {
    struct concurrency w;
    uint32_t refused = 0, taken = 0;
    concurrency_start(&w, &limits);
    for (int round = 0; round < 200; round++) {
      uint32_t n = concurrency_places(&w);
      assert_int_not_equal(n, 0);
      for (uint32_t k = 0; k < n; k++) {
        if (k < peers[p]) {
          concurrency_took(&w, &limits, n);
          taken++;
        } else {
          concurrency_failed(&w, 0);
          refused++;
        }
      }
    }
    if (refused * 2 > taken || taken < 200 * peers[p] * 3 / 5)
      fail_msg("a peer that takes %u: %u taken, %u refused", peers[p], taken, refused);
  }
}

static void test_probe_gaps(void **state)
{
  static const struct {
    uint32_t probes, own, gap;
  } c[] = {{0, UINT32_MAX, 60},   {1, UINT32_MAX, 120}, {2, UINT32_MAX, 240}, {5, UINT32_MAX, 1920},
           {6, UINT32_MAX, 3600}, {99, UINT32_MAX, 3600}, {0, 2, 2}, {9, 400, 400}, {0, 400, 60}};

  (void)state;
  for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
    struct concurrency w;
    concurrency_start(&w, &limits);
    for (int k = 0; k < 5; k++)
      concurrency_failed(&w, 0);
    for (uint32_t k = 0; k < c[i].probes; k++)
      concurrency_failed(&w, 1);
    assert_int_equal(concurrency_probe_gap(&w, c[i].own), c[i].gap);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_events), cmocka_unit_test(test_one_place),
    cmocka_unit_test(test_a_peer_with_a_limit), cmocka_unit_test(test_probe_gaps)};

  return cmocka_run_group_tests_name("concurrency", tests, NULL, NULL);
}
