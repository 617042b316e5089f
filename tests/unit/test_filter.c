/* test_filter.c - which messages a filter takes, and command lines that hold one */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "queue/filter.h"
#include "queue/request.h"

static struct envelope_rcpt rcpts[] = {
  {.status = RCPT_TODO, .address = "bob@Example.NET"},
  {.status = RCPT_DONE, .address = "done@done.example"},
  {.status = RCPT_FAILED, .address = "carol@mail.example.org"},
};
static const struct envelope letter = {
  .sender = "Alice@example.org", .created = 1000, .rcpt = rcpts, .nrcpt = 3};
static const struct envelope report = {.sender = "", .created = 1000, .rcpt = rcpts, .nrcpt = 1};

static void test_takes(void **state)
{
  static const struct {
    const char *name, *value;
    int letter, report;
  } rows[] = {
    {"sender", "alice@EXAMPLE.org", 1, 0}, {"sender", "@example.org", 1, 0}, {"sender", "@org", 0, 0},
    {"sender", "*@example.org", 1, 0},     {"sender", "a?ice@*", 1, 0},      {"sender", "*", 1, 1},
    {"sender", "", 0, 1},                  {"sender", "<>", 0, 1},           {"sender", "alice", 0, 0},
    {"sender", "?*", 1, 0},                {"sender", "*x*", 1, 0},          {"sender", "*a*a*e*g", 1, 0},         {"sender", "*z*", 0, 0},
    {"rcpt", "bob@example.net", 1, 1},     {"rcpt", "done@done.example", 0, 0}, {"rcpt", "@mail.example.org", 1, 0},
    {"domain", "example.net", 1, 1},       {"domain", "done.example", 0, 0},    {"domain", "example.org", 0, 0},
    {"domain", ".example.org", 1, 0},      {"domain", ".net", 1, 1},            {"domain", ".example.net", 0, 0},
    {"older", "1h", 1, 1},                 {"older", "3601", 0, 0},             {"older", "0s", 1, 1},
  };
  const char *why;

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct filter f = {0};
    assert_int_equal(filter_set(&f, rows[i].name, rows[i].value, &why), 0);
    if (filter_takes(&f, &letter, 4600) != rows[i].letter || filter_takes(&f, &report, 4600) != rows[i].report)
      fail_msg("--%s %s", rows[i].name, rows[i].value);
  }
}

static void test_states(void **state)
{
  struct filter f = {0};
  const char *why;

  (void)state;
  assert_false(filter_is_set(&f));
  assert_true(filter_takes_state(&f, FILTER_HOLD));
  assert_int_equal(filter_set(&f, "state", "hold,new", &why), 0);
  assert_true(filter_is_set(&f));
  assert_false(filter_needs_envelope(&f));
  assert_true(filter_takes_state(&f, FILTER_HOLD));
  assert_true(filter_takes_state(&f, FILTER_NEW));
  assert_false(filter_takes_state(&f, FILTER_ACTIVE));
}

static void test_bad_values(void **state)
{
  static const char *const rows[][2] = {{"state", ""},   {"state", "hol"}, {"state", "hold,"}, {"state", "hold,,new"},
                                        {"older", ""},   {"older", "-1"},  {"older", "1y"},    {"rcpt", ""},
                                        {"domain", ""}, {"state", "holdd"}};
  struct filter f = {0};
  const char *why;

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    why = NULL;
    if (filter_set(&f, rows[i][0], rows[i][1], &why) != -1 || !why)
      fail_msg("--%s '%s'", rows[i][0], rows[i][1]);
  }
  assert_int_equal(filter_set(&f, "colour", "x", &why), 1);
}

/* a time in the future is no great age */
static void test_clock(void **state)
{
  struct filter f = {.older = 1};

  (void)state;
  assert_false(filter_takes(&f, &letter, 10));
  assert_true(filter_takes(&f, &letter, 2000));
}

/* ---- command lines */

#define LINE(...) (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)

static int parse(const char *const *argv, size_t argc, struct request *r)
{
  const char *why = NULL;
  int bad = request_parse(r, (int)argc, argv, &why);

  assert_true(bad == 0 || why);
  return bad;
}

static void test_lines(void **state)
{
  struct request r;

  (void)state;
  assert_int_equal(parse(LINE("list", "--json", "--sender=a@b", "--older", "1d"), &r), 0);
  assert_int_equal(r.verb, REQUEST_LIST);
  assert_true(r.json);
  assert_string_equal(r.filter.sender, "a@b");
  assert_int_equal(r.filter.older, 86400);
  request_free(&r);
  assert_int_equal(parse(LINE("show", "--transcript", "3", "0abcdefghjkmn17"), &r), 0);
  assert_int_equal(r.attempt, 3);
  assert_int_equal(r.args, 1);
  request_free(&r);
  assert_int_equal(parse(LINE("show", "0abcdefghjkmn17", "--transcript"), &r), 0);
  assert_int_equal(r.attempt, 0);
  request_free(&r);
  assert_int_equal(parse(LINE("bounce", "--reason", "--yes", "--", "--id"), &r), 0);
  assert_string_equal(r.reason, "--yes");
  assert_false(r.yes);
  assert_string_equal(r.arg[0], "--id");
  request_free(&r);
  assert_int_equal(parse(LINE("remove", "--help", "--nonsense"), &r), 0);
  assert_true(r.wants_help);
  request_free(&r);
  assert_int_equal(parse(LINE("export", "-", "--domain", "x"), &r), 0);
  assert_string_equal(r.arg[0], "-");
  request_free(&r);
}

static void test_bad_lines(void **state)
{
  static const char *const rows[][5] = {
    {"gone"}, {"list", "x"}, {"list", "--yes"}, {"list", "-x"}, {"show"}, {"show", "a", "b"}, {"hold"},
    {"hold", "a", "--state", "new"}, {"remove"}, {"bounce", "a", "--reason"}, {"bounce", "a", "--reason", ""},
    {"show", "a", "--transcript", "0"}, {"show", "a", "--transcript=99999999999"}, {"show", "a", "--envelope", "--body"},
    {"show", "a", "--headers", "--transcript"}, {"show", "a", "--body", "--json"}, {"stats", "--top", "x"},
    {"verify", "--repair=yes"}, {"export"}, {"import"}, {"import", "a", "b"}, {"list", "--sender"}, {"", ""},
  };

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct request r;
    size_t n = 0;
    while (n < 5 && rows[i][n])
      n++;
    if (parse(rows[i], n, &r) == 0)
      fail_msg("row %zu: %s", i, rows[i][0]);
    request_free(&r);
  }
}

static int collect(void *arg, const char *name, const char *value)
{
  stralloc *out = arg;

  return stralloc_cats(out, name) && stralloc_cats(out, "=") && stralloc_cats(out, value) && stralloc_cats(out, ";") ? 0 : -1;
}

/* a filter as options again */
static void test_options(void **state)
{
  struct filter f = {.states = FILTER_NEW | FILTER_HOLD, .sender = "", .rcpt = "x@y", .domain = ".z", .older = 60};
  stralloc out = {0};

  (void)state;
  assert_int_equal(filter_options(&f, collect, &out), 0);
  assert_true(stralloc_0(&out));
  assert_string_equal(out.s, "state=new,hold;sender=;rcpt=x@y;domain=.z;older=60;");
  stralloc_free(&out);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_takes), cmocka_unit_test(test_states), cmocka_unit_test(test_bad_values),
    cmocka_unit_test(test_clock), cmocka_unit_test(test_lines),  cmocka_unit_test(test_bad_lines),
    cmocka_unit_test(test_options)};

  return cmocka_run_group_tests_name("filter", tests, NULL, NULL);
}
