/* test_inspect.c - what list, show and why print, from files that are whole, odd or gone */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "common/verdict.h"
#include "queue/envelope.h"
#include "queue/history.h"
#include "queue/inspect.h"
#include "queue/store_flight.h"

#define SHOWN_MAX 10

static char dir[64];
static int queue;
static stralloc out, errors;
static struct inspect_message message[SHOWN_MAX];
static size_t messages;
static int is_live;

/* ---- the view */

static int each(int (*f)(void *arg, const struct inspect_message *m), void *arg)
{
  int r = 0;

  for (size_t i = 0; r == 0 && i < messages; i++)
    r = f(arg, &message[i]);
  return r;
}

static int find(const char *id, struct inspect_message *m)
{
  for (size_t i = 0; i < messages; i++)
    if (strcmp(message[i].name.id, id) == 0) {
      *m = message[i];
      return 0;
    }
  return -1;
}

static int print(void *arg, const char *s, size_t len, int error)
{
  (void)arg;
  return stralloc_catb(error ? &errors : &out, s, len) ? 0 : -1;
}

/* runs a command; its exit code. What it printed is in out and errors. */
static int run(const char *verb, const char *a, const char *b)
{
  const char *argv[] = {verb, a, b};
  struct inspect_view v = {.queue_fd = queue, .is_live = is_live, .each = each, .find = find, .print = print};
  int code;

  assert_true(stralloc_copys(&out, "") && stralloc_copys(&errors, ""));
  code = inspect_run(&v, b ? 3 : a ? 2 : 1, argv);
  assert_true(stralloc_0(&out) && stralloc_0(&errors));
  return code;
}

/* ---- messages in the queue */

static void add(const char *id, const char *sender, const char *rcpt)
{
  struct envelope_new n = {.id = id, .sender = sender, .envid = "", .ret = "", .client = "192.0.2.1:4711",
                           .helo = "client\x9b.example", .protocol = "ESMTP", .created = (uint64_t)time(NULL) - 3600};
  struct inspect_message *m = &message[messages++];
  struct envelope_sum sum = {.body_len = 8, .longest = 6};
  stralloc file = {0};
  char path[64];
  int fd;

  assert_int_equal(envelope_begin(&file, &n), 0);
  assert_int_equal(envelope_add_rcpt(&file, rcpt, "", ""), 0);
  assert_int_equal(envelope_add_rcpt(&file, "second@example.net", "", ""), 0);
  assert_int_equal(envelope_finish(&file), 0);
  sum.env_len = file.len;
  envelope_head(file.s, &sum);
  assert_true(stralloc_cats(&file, "body..\r\n" ENVELOPE_END));
  memset(m, 0, sizeof *m);
  strcpy(m->name.id, id);
  m->name.state = STORE_CUR;
  m->name.next = m->due = (uint32_t)time(NULL) + 600;
  snprintf(path, sizeof path, "cur/%s/%s,%08x,00000000", id + 13, id, m->name.next);
  fd = openat(queue, path, O_RDWR | O_CREAT | O_EXCL, 0600);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, file.s, file.len), file.len);
  close(fd);
  free(file.s);
}

/* one attempt that ended with this reply for the first recipient */
static void tried(size_t i, const char *reply)
{
  const char *const began[] = {"mx:example.net", "0-1"};
  const char *const step[] = {"mx1.example.net", "192.0.2.9", "EHLO", "closed", ""};
  const char *const outcome[] = {"0", "temp", "4.4.2", "mx1.example.net [192.0.2.9]", reply};
  int fd = store_open(queue, &message[i].name, O_RDWR);
  struct envelope e;
  const char *why;
  stralloc lines = {0};

  assert_int_equal(envelope_read(fd, &e, &why), 0);
  e.rcpt[0].attempts = 3;
  assert_int_equal(envelope_mark(fd, &e, 0), 0);
  assert_int_equal(history_line_make(&lines, 'a', 1769850000, 3, began, 2), 0);
  assert_int_equal(history_line_make(&lines, 's', 1769850000, 3, step, 5), 0);
  assert_int_equal(history_line_make(&lines, 'o', 1769850001, 3, outcome, 5), 0);
  assert_int_equal(history_append(fd, &e, &lines), 0);
  free(lines.s);
  envelope_free(&e);
  close(fd);
}

#define HOSTILE "a\x1b]0;x\x07<b>"

static int set_up(void **state)
{
  (void)state;
  strcpy(dir, "/tmp/test_inspect.XXXXXX");
  if (!mkdtemp(dir))
    return -1;
  queue = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  messages = 0;
  return store_make(queue);
}

static int tear_down(void **state)
{
  char command[100];

  (void)state;
  close(queue);
  snprintf(command, sizeof command, "rm -rf %s", dir);
  return system(command) == 0 ? 0 : -1;
}

static void assert_printable(const char *s)
{
  for (; *s; s++)
    assert_true((*s >= 32 && *s < 127) || *s == '\n');
}

static void test_empty(void **state)
{
  (void)state;
  assert_int_equal(run("list", NULL, NULL), EXIT_OK);
  assert_string_equal(out.s, "The queue is empty.\n");
  assert_int_equal(run("list", "--json", NULL), EXIT_OK);
  assert_string_equal(out.s, "");
}

static void test_texts(void **state)
{
  static const char *const verbs[] = {"list", "show", "why"};

  (void)state;
  add("0abcdefghjkmn17", "alice@example.org", "bob@example.net");
  tried(0, HOSTILE);
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(run(verbs[i], i ? "0abcdefghjkmn17" : NULL, NULL), EXIT_OK);
    assert_string_equal(errors.s, "");
    assert_printable(out.s);
    assert_non_null(strstr(out.s, "bob@example.net"));
    assert_non_null(strstr(out.s, "second@example.net"));
    assert_non_null(strstr(out.s, "a\\x1b]0;x\\x07<b>"));
    assert_non_null(strstr(out.s, "deferred"));
    if (i) {
      assert_non_null(strstr(out.s, "mx1.example.net [192.0.2.9]"));
      assert_non_null(strstr(out.s, "EHLO"));
    }
  }
}

static json_t *line_of(const char *verb, const char *id)
{
  json_t *o;

  assert_int_equal(run(verb, id ? id : "--json", id ? "--json" : NULL), EXIT_OK);
  assert_ptr_equal(strchr(out.s, '\n'), out.s + strlen(out.s) - 1);
  o = json_loads(out.s, 0, NULL);
  assert_non_null(o);
  return o;
}

/* the fields that others rely on */
static void test_json(void **state)
{
  static const char *const fields[] = {"id", "sender", "size", "created", "next", "state", "recipients"};
  static const char *const verbs[] = {"list", "show", "why"};

  (void)state;
  add("0abcdefghjkmn17", "alice@example.org", "b\xff" "b@example.net");
  tried(0, HOSTILE);
  for (size_t i = 0; i < 3; i++) {
    json_t *o = line_of(verbs[i], i ? "0abcdefghjkmn17" : NULL), *r;
    for (size_t k = 0; k < sizeof fields / sizeof *fields; k++)
      if (!json_object_get(o, fields[k]))
        fail_msg("%s: no %s", verbs[i], fields[k]);
    assert_string_equal(json_string_value(json_object_get(o, "state")), "deferred");
    assert_int_equal(json_integer_value(json_object_get(o, "size")), 8);
    assert_int_equal(strlen(json_string_value(json_object_get(o, "next"))), 20);
    r = json_array_get(json_object_get(o, "recipients"), 0);
    assert_string_equal(json_string_value(json_object_get(r, "address")), "b\xef\xbf\xbd" "b@example.net");
    assert_string_equal(json_string_value(json_object_get(r, "state")), "todo");
    assert_int_equal(json_integer_value(json_object_get(r, "attempts")), 3);
    assert_non_null(strstr(json_string_value(json_object_get(r, "last_reply")), "<b>"));
    json_decref(o);
  }
}

static void test_states(void **state)
{
  static const struct {
    enum store_state s;
    int is_active;
    uint32_t due;
    const char *word;
    int has_next;
  } rows[] = {{STORE_NEW, 0, 0, "new", 1}, {STORE_CUR, 1, 5, "active", 0}, {STORE_NEW, 1, 5, "active", 0},
              {STORE_CUR, 0, 5, "deferred", 1}, {STORE_HOLD, 0, UINT32_MAX, "hold", 0}};

  (void)state;
  add("0abcdefghjkmn17", "alice@example.org", "bob@example.net");
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct store_name n = message[0].name;
    json_t *o;
    assert_int_equal(store_move(queue, &n, rows[i].s, rows[i].s == STORE_NEW ? 0 : rows[i].due, 0), 0);
    message[0] = (struct inspect_message){n, rows[i].is_active, rows[i].due};
    o = line_of("list", NULL);
    assert_string_equal(json_string_value(json_object_get(o, "state")), rows[i].word);
    assert_int_equal(json_is_string(json_object_get(o, "next")), rows[i].has_next);
    json_decref(o);
    assert_int_equal(run("why", "0abcdefghjkmn17", NULL), EXIT_OK);
    assert_non_null(strstr(out.s, rows[i].word));
  }
}

static void test_gone_and_damaged(void **state)
{
  int fd;

  (void)state;
  add("0abcdefghjkmn17", "alice@example.org", "bob@example.net");
  add("0abcdefghjkmn16", "alice@example.org", "bob@example.net");
  fd = store_open(queue, &message[0].name, O_RDWR);
  assert_int_equal(ftruncate(fd, 100), 0);
  close(fd);
  assert_int_equal(run("show", "0abcdefghjkmn17", NULL), EXIT_DATA);
  assert_string_equal(out.s, "");
  assert_non_null(strstr(errors.s, "shorter than its envelope"));
  assert_int_equal(store_remove(queue, &message[1].name), 0);
  assert_int_equal(run("why", "0abcdefghjkmn16", "--json"), EXIT_DATA);
  assert_non_null(strstr(errors.s, "gone"));
  assert_int_equal(run("list", NULL, NULL), EXIT_OK);
  assert_int_equal(run("show", "0abcdefghjkmn99\x1b", NULL), EXIT_DATA);
  assert_printable(errors.s);
}

static void test_usage(void **state)
{
  static const char *const rows[][3] = {{"show", NULL, NULL}, {"why", "--json", NULL}, {"list", "x", NULL},
                                        {"show", "--jsom", "x"}, {"show", "x", "y"}};

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    assert_int_equal(run(rows[i][0], rows[i][1], rows[i][2]), EXIT_USAGE);
    assert_memory_equal(errors.s, "usage: ", 7);
  }
}

/* the journal went round since the manager told of them: one is a file by now, one is done with */
static void test_left_the_journal(void **state)
{
  struct flight f = {.at = JOURNAL_HEAD, .len = 100};
  int fd;

  (void)state;
  assert_int_equal(run("list", NULL, NULL), EXIT_OK); /* the journal is read once */
  assert_int_equal(mkdirat(queue, "journal", 0700), 0);
  fd = openat(queue, "journal/0", O_RDWR | O_CREAT, 0600);
  assert_int_equal(ftruncate(fd, 2 * JOURNAL_HEAD), 0);
  close(fd);
  add("0abcdefghjkmn17", "alice@example.org", "bob@example.net");
  add("0abcdefghjkmn16", "alice@example.org", "bob@example.net");
  assert_int_equal(store_remove(queue, &message[1].name), 0);
  for (size_t i = 0; i < 2; i++) {
    message[i].name.state = STORE_FLIGHT;
    message[i].name.next = 0;
    memcpy(f.id, message[i].name.id, sizeof f.id);
    assert_int_equal(flight_committed(&f), 0);
  }
  is_live = 1;
  assert_int_equal(run("list", NULL, NULL), EXIT_OK);
  is_live = 0;
  assert_non_null(strstr(out.s, "0abcdefghjkmn17  deferred"));
  assert_null(strstr(out.s, "0abcdefghjkmn16"));
  assert_string_equal(errors.s, "");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
  const struct CMUnitTest tests[] = {TEST(test_empty),  TEST(test_texts),            TEST(test_json),
                                     TEST(test_states), TEST(test_gone_and_damaged),
                                     TEST(test_left_the_journal), TEST(test_usage)};

  return cmocka_run_group_tests_name("inspect", tests, NULL, NULL);
}
