/* test_story.c - the attempts of a message in sentences: grouped, bounded, with what comes next */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue/story.h"

#define T0 1769850000 /* 2026-01-31T09:00:00Z */

static struct envelope_rcpt rcpts[] = {{.status = RCPT_TODO, .attempts = 1, .address = "bob@example.net"},
                                       {.status = RCPT_DONE, .attempts = 1, .address = "\x1b@example.net"}};
static const struct envelope envelope = {.nrcpt = 2, .rcpt = rcpts};

static char told[20000];

static int say(void *arg, int depth, const char *sentence)
{
  (void)arg;
  snprintf(told + strlen(told), sizeof told - strlen(told), "%d%s\n", depth, sentence);
  return 0;
}

static int only_first(void *arg, size_t i)
{
  (void)arg;
  return i == 0;
}

static void note(struct story *s, char kind, unsigned int attempt, const char *const field[5])
{
  struct history_line l = {.kind = kind, .time = T0 + attempt * 60U, .attempt = attempt, .n = 5};

  for (size_t i = 0; i < HISTORY_FIELDS; i++)
    l.field[i] = i < 5 ? field[i] : "";
  assert_int_equal(story_note(s, &l), 0);
}

#define NOTE(s, kind, attempt, ...) note(s, kind, attempt, (const char *const[5]){__VA_ARGS__})

static const char *tell(struct story *s, struct story_teller t)
{
  t.e = &envelope;
  t.say = say;
  told[0] = 0;
  assert_int_equal(story_tell(s, &t), 0);
  return told;
}

static void test_attempts(void **state)
{
  struct story s = {0};

  (void)state;
  assert_string_equal(tell(&s, (struct story_teller){0}), "");
  NOTE(&s, 's', 1, "mx.example.net", "192.0.2.1", "R2", "connection closed after EHLO", "");
  NOTE(&s, 'l', 1, "learned", "192.0.2.1:25", "helo-only", "1769936400", "E9");
  NOTE(&s, 'o', 1, "0", "temp", "4.2.1", "", "mx said: 450 4.2.1 wait");
  NOTE(&s, 'o', 1, "1", "ok", "2.0.0", "", "250 \\x1b");
  NOTE(&s, 'l', 2, "known", "192.0.2.1:25", "helo-only", "1769936400", "E9");
  NOTE(&s, 'l', 2, "known", "192.0.2.1:25", "dot-lost", "1769936400", "D13");
  NOTE(&s, 'o', 2, "7", "temp", "4.2.1", "", "of nobody");
  NOTE(&s, 'l', 2, "unlearned", "192.0.2.1:25", "down", "0", "B1");
  NOTE(&s, 'l', 2, "unkept", "192.0.2.1:25", "no-size", "0", "X13 501");
  assert_string_equal(
    tell(&s, (struct story_teller){0}),
    "0Attempt 1, 2026-01-31T09:01:00Z:\n"
    "1mx.example.net [192.0.2.1]: connection closed after EHLO (rung R2)\n"
    "1remembered about 192.0.2.1:25 until 2026-02-01T09:00:00Z: EHLO fails, HELO works (helo-only)\n"
    "1bob@example.net: deferred, 4.2.1 mx said: 450 4.2.1 wait\n"
    "1\\x1b@example.net: delivered, 2.0.0 250 \\x1b\n"
    "0Attempt 2, 2026-01-31T09:02:00Z:\n"
    "1known of 192.0.2.1:25: EHLO fails, HELO works (helo-only)\n"
    "1no longer true of 192.0.2.1:25: not reachable: tried after others (down)\n"
    "1seen at 192.0.2.1:25, but it could not be remembered: SIZE is offered and does not work (no-size)\n");
  assert_null(strstr(tell(&s, (struct story_teller){.is_wanted = only_first}), "\\x1b@"));
  story_free(&s);
}

static void test_many(void **state)
{
  struct story s = {0};

  (void)state;
  for (unsigned int n = 1; n <= 100; n++)
    NOTE(&s, 'o', n, "0", "temp", "4.4.1", "", "refused");
  tell(&s, (struct story_teller){.attempts = 10});
  assert_non_null(strstr(told, "0Attempt 1,"));
  assert_null(strstr(told, "0Attempt 2,"));
  assert_non_null(strstr(told, "0(90 more attempts are left out here)\n0Attempt 92,"));
  assert_non_null(strstr(told, "0Attempt 100,"));
  story_free(&s);
}

static const char *plans(struct story *s, int n)
{
  const struct story_teller t = {.e = &envelope, .say = say};

  told[0] = 0;
  assert_int_equal(story_plans(s, T0 + 600, &t), n);
  return told;
}

static void test_plans(void **state)
{
  struct story s = {0};

  (void)state;
  plans(&s, 0);
  NOTE(&s, 'l', 1, "learned", "192.0.2.1:25", "helo-only", "1769936400", "E7 0 550 Huh?");
  NOTE(&s, 'l', 1, "learned", "192.0.2.2:25", "no-8bitmime", "1769936400", "Z99");
  NOTE(&s, 'l', 1, "learned", "192.0.2.3:25", "no-dsn", "1769850100", "X22 555"); /* over */
  NOTE(&s, 'l', 1, "learned", "192.0.2.4:25", "needs-rset", "1769936400", "H4");
  NOTE(&s, 'l', 1, "learned", "192.0.2.5:25", "pix", "1769936400", "B11"); /* changes nothing */
  NOTE(&s, 'l', 2, "known", "192.0.2.1:25", "helo-only", "1769936400", "E7 0 550 Huh?");
  NOTE(&s, 'l', 2, "unlearned", "192.0.2.4:25", "needs-rset", "0", "E15");
  NOTE(&s, 'l', 2, "known", "192.0.2.6:25", "no-size", "1769936400", "X13 501");
  NOTE(&s, 'l', 2, "known", "192.0.2.8:25", "ehlo-4yz", "1769936400", "E27 451 451 4.3.2 busy");
  NOTE(&s, 'l', 2, "known", "192.0.2.9:25", "down", "1769936400", "A1 0 refused at connect");
  NOTE(&s, 'l', 2, "known", "192.0.2.7:25", "rcptmax=20", "1769936400", "X26 0");
  NOTE(&s, 'l', 2, "unkept", "192.0.2.10:25", "helo-only", "0", "E9");
  assert_string_equal(
    plans(&s, 6),
    "0The next attempt sends 7-bit text only to 192.0.2.2:25, because at 2026-01-31T09:01:00Z "
    "this was seen there: row Z99 of the ladder.\n"
    "0The next attempt says HELO instead of EHLO to 192.0.2.1:25, because at 2026-01-31T09:01:00Z "
    "EHLO was refused and the connection closed (550 Huh?).\n"
    "0The next attempt leaves SIZE out at 192.0.2.6:25, because earlier SIZE was refused (501).\n"
    "0The next attempt says HELO as well, if EHLO is put off again, to 192.0.2.8:25, because earlier "
    "EHLO was put off (451 4.3.2 busy).\n"
    "0The next attempt tries other addresses, if there are any, before 192.0.2.9:25, because earlier "
    "the connection was refused.\n"
    "0The next attempt sends to fewer recipients at once at 192.0.2.7:25, because earlier only some "
    "recipients were taken at once.\n");
  story_free(&s);
}

/* a disk may hold anything */
static void test_hostile(void **state)
{
  static char big[60000];
  struct story s = {0};
  json_t *o;

  (void)state;
  memset(big, 'x', sizeof big - 1);
  for (const char *kind = "slo"; *kind; kind++) {
    NOTE(&s, *kind, 1, "", "", "", "", "");
    NOTE(&s, *kind, 1, big, big, big, big, big);
    NOTE(&s, *kind, 1, "learned", big, "helo-only", "1769936400", big);
    NOTE(&s, *kind, 1, "0", big, big, big, big);
  }
  tell(&s, (struct story_teller){0});
  plans(&s, 1);
  o = story_json(&s);
  assert_int_equal(json_array_size(o), 12);
  json_decref(o);
  story_free(&s);
}

/* evidence is in parts, as in `heloise peers list --json` */
static void test_json(void **state)
{
  static const struct {
    const char *evidence, *row, *text;
    json_int_t code;
  } rows[] = {{"E7 550 550 Huh?", "E7", "550 Huh?", 550},
              {"E9 0 closed after EHLO", "E9", "closed after EHLO", 0},
              {"X13 501", "X13", "", 501},
              {"A1", "A1", "", 0}};

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct story s = {0};
    json_t *list, *o;
    NOTE(&s, 'l', 1, "learned", "192.0.2.1:25", "down", "1769936400", rows[i].evidence);
    list = story_json(&s);
    o = json_array_get(list, 0);
    assert_string_equal(json_string_value(json_object_get(o, "row")), rows[i].row);
    assert_string_equal(json_string_value(json_object_get(o, "evidence")), rows[i].text);
    assert_int_equal(json_integer_value(json_object_get(o, "code")), rows[i].code);
    json_decref(list);
    story_free(&s);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_attempts), cmocka_unit_test(test_many),
                                     cmocka_unit_test(test_plans), cmocka_unit_test(test_hostile),
                                     cmocka_unit_test(test_json)};

  return cmocka_run_group_tests_name("story", tests, NULL, NULL);
}
