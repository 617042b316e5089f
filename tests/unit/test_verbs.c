/* test_verbs.c - ESMTP verbs as sets, and the IIS masks of LADDER.md 5 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "common/verbs.h"

static void values(void **state)
{
  static const struct {
    const char *value;
    int r;
    uint32_t off, unknown;
  } cases[] = {
    {"-8bitmime", 0, VERB_8BITMIME, 0},
    {"-8bitmime -chunking", 0, VERB_8BITMIME | VERB_CHUNKING, 0},
    {"  -DSN\t-size ", 0, VERB_DSN | VERB_SIZE, 0},
    {"7697601", 0, 0, 352257},
    {"3503297", 0, VERB_8BITMIME, 352257},
    {"2454721", 0, VERB_8BITMIME | VERB_CHUNKING, 352257},
    {"2454657", 0, VERB_8BITMIME | VERB_CHUNKING | VERB_DSN, 352257},
    {"7", 0,
     VERB_DSN | VERB_ETRN | VERB_ENHANCEDSTATUSCODES | VERB_CHUNKING | VERB_BINARYMIME |
       VERB_8BITMIME,
     7},
    {"0", 0,
     VERB_DSN | VERB_ETRN | VERB_ENHANCEDSTATUSCODES | VERB_CHUNKING | VERB_BINARYMIME |
       VERB_8BITMIME,
     0},
    {"4294967295", 0, 0, UINT32_MAX - 7345344},
    {"4294967296", -1, 0, 0},
    {"", -1, 0, 0},
    {"  ", -1, 0, 0},
    {"8bitmime", -1, 0, 0},
    {"-", -1, 0, 0},
    {"-nonesuch", -1, 0, 0},
    {"-8bitmime 7697601", -1, 0, 0},
  };
  uint32_t off, unknown;
  const char *why;

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    print_message("# row %zu\n", i);
    assert_int_equal(
      verbs_parse(cases[i].value, strlen(cases[i].value), &off, &unknown, &why), cases[i].r);
    if (cases[i].r != 0)
      continue;
    assert_int_equal(off, cases[i].off);
    assert_int_equal(unknown, cases[i].unknown);
  }
}

/* switching off twice, or what is off, changes nothing else: no subtraction */
static void masks(void **state)
{
  (void)state;
  assert_int_equal(verbs_to_mask(0), 7697601);
  assert_int_equal(verbs_to_mask(VERB_8BITMIME), 3503297);
  assert_int_equal(verbs_to_mask(VERB_8BITMIME | VERB_CHUNKING), 2454721);
  assert_int_equal(verbs_to_mask(VERB_8BITMIME | VERB_CHUNKING | VERB_DSN), 2454657);
  assert_int_equal(verbs_to_mask(VERB_SIZE | VERB_PIPELINING), 7697601);
}

static void names(void **state)
{
  stralloc out = {0};
  enum verb_number n;

  (void)state;
  for (size_t i = 0; i < VERB_COUNT; i++) {
    const char *word = verb_word((enum verb_number)i), *key = verb_keyword((enum verb_number)i);
    assert_int_equal(verb_find_word(word, strlen(word), &n), 0);
    assert_int_equal(n, i);
    assert_int_equal(verb_find_keyword(key, strlen(key), &n), 0);
    assert_int_equal(n, i);
  }
  assert_int_equal(verb_find_keyword("8bitMIME", 8, &n), 0);
  assert_int_equal(n, VERBN_8BITMIME);
  assert_int_equal(verb_find_keyword("AUTH=LOGIN", 10, &n), -1);
  assert_int_equal(verbs_format(&out, VERB_SIZE | VERB_DSN), 0);
  assert_int_equal(out.len, 8);
  assert_memory_equal(out.s, "size dsn", 8);
  stralloc_free(&out);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(values),
    cmocka_unit_test(masks),
    cmocka_unit_test(names),
  };

  return cmocka_run_group_tests_name("verbs", tests, NULL, NULL);
}
