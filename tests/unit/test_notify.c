/* test_notify.c - which reports a sender wants and is owed: RFC 3461 4.1, 5.2, and table retry */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "queue/notify.h"

#define T0 1700000000
#define HOUR 3600

static struct envelope_rcpt rcpt;
static struct envelope e;

/* one recipient of a message from alice, whose client may relay */
static void set(enum rcpt_status s, const char *notify, unsigned int flags)
{
  rcpt = (struct envelope_rcpt){.status = s, .address = "bob@slow.example", .notify = notify, .orcpt = ""};
  e = (struct envelope){.sender = "alice@x.example", .created = T0, .flags = flags, .nrcpt = 1, .rcpt = &rcpt};
}

static struct table *tables(void)
{
  static const char *const lines[][2] = {{"*", "every 1h warn 4h life 1d bouncelife 6h"},
                                         {"never.example", "every 1h warn 0"},
                                         {"late.example", "every 1h warn 2d life 1d"}};
  int fd = memfd_create("tables", MFD_CLOEXEC);
  struct table_maker *m = table_maker_start(fd);
  struct table *t;

  for (size_t i = 0; i < 3; i++)
    table_maker_add(m, "retry", lines[i][0], strlen(lines[i][0]), lines[i][1], strlen(lines[i][1]));
  assert_int_equal(table_maker_finish(m), 0);
  t = table_open(fd);
  close(fd);
  return t;
}

static void words(void **state)
{
  enum notify_action a;

  (void)state;
  for (int i = 0; i < NOTIFY_ACTIONS; i++) {
    const char *w = notify_word((enum notify_action)i);
    assert_int_equal(notify_read(w, strlen(w), &a), 0);
    assert_int_equal(a, i);
  }
  assert_int_equal(notify_read("relay", 5, &a), -1);
  assert_int_equal(notify_read("relayedx", 8, &a), -1);
}

static void success(void **state)
{
  static const struct {
    const char *sender, *notify;
    enum notify_action how;
    enum rcpt_status becomes;
  } rows[] = {
    {"a@x", "", NOTIFY_DELIVERED, RCPT_DONE},        {"a@x", "NEVER", NOTIFY_RELAYED, RCPT_DONE},
    {"a@x", "FAILURE,DELAY", NOTIFY_RELAYED, RCPT_DONE}, {"a@x", "SUCCESS", NOTIFY_NOTHING, RCPT_DONE},
    {"a@x", "SUCCESS", NOTIFY_DELIVERED, RCPT_DELIVERED}, {"a@x", "SUCCESS,FAILURE", NOTIFY_RELAYED, RCPT_RELAYED},
    {"a@x", "SUCCESS,DELAY", NOTIFY_EXPANDED, RCPT_EXPANDED}, {"", "SUCCESS", NOTIFY_DELIVERED, RCPT_DONE},
    {"a@x", "SUCCESS", NOTIFY_FAILED, RCPT_DONE}, {"a@x", "SUCCESS", NOTIFY_DELAYED, RCPT_DONE},
  };

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    set(RCPT_TODO, rows[i].notify, 0);
    e.sender = rows[i].sender;
    rcpt.status = notify_taken(&e, 0, rows[i].how);
    assert_int_equal(rcpt.status, rows[i].becomes);
    assert_int_equal(notify_owed(&e, 0), rcpt.status == RCPT_DONE ? NOTIFY_NOTHING : rows[i].how);
    assert_int_equal(envelope_is_closed(rcpt.status), rcpt.status == RCPT_DONE);
    assert_int_equal(notify_told(rcpt.status), RCPT_DONE);
  }
}

static void failure(void **state)
{
  static const struct {
    const char *notify;
    unsigned int flags;
    enum notify_action owed;
  } rows[] = {{"", 0, NOTIFY_FAILED},       {"FAILURE", 0, NOTIFY_FAILED},   {"SUCCESS,FAILURE", 0, NOTIFY_FAILED},
              {"NEVER", 0, NOTIFY_NOTHING}, {"SUCCESS,DELAY", 0, NOTIFY_NOTHING},
              {"", ENVELOPE_REPORT, NOTIFY_FAILED}, {"", ENVELOPE_REPORT | ENVELOPE_DOUBLE, NOTIFY_NOTHING}};

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    set(RCPT_FAILED, rows[i].notify, rows[i].flags);
    assert_int_equal(notify_owed(&e, 0), rows[i].owed);
  }
  assert_int_equal(notify_told(RCPT_FAILED), RCPT_BOUNCED);
  assert_int_equal(notify_told(RCPT_TODO), RCPT_TODO);
}

static void warnings(void **state)
{
  static const struct {
    const char *sender, *address, *notify;
    unsigned int flags;
    int is_due;
  } rows[] = {
    {"a@x", "b@slow.example", "", ENVELOPE_RELAYED, 1},  {"a@x", "b@slow.example", "", 0, 0},
    {"a@x", "b@slow.example", "DELAY", 0, 1},            {"a@x", "b@slow.example", "SUCCESS,DELAY", 0, 1},
    {"a@x", "b@slow.example", "FAILURE", ENVELOPE_RELAYED, 0}, {"a@x", "b@slow.example", "NEVER", ENVELOPE_RELAYED, 0},
    {"", "b@slow.example", "DELAY", ENVELOPE_RELAYED, 0}, {"a@x", "b@slow.example", "DELAY", ENVELOPE_REPORT, 0},
    {"a@x", "b@never.example", "DELAY", ENVELOPE_RELAYED, 0}, {"a@x", "b@late.example", "DELAY", ENVELOPE_RELAYED, 0},
  };
  struct table *t = tables();

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    set(RCPT_TODO, rows[i].notify, rows[i].flags);
    e.sender = rows[i].sender;
    rcpt.address = rows[i].address;
    assert_true(notify_warn_at(t, &e, 0) == (rows[i].is_due ? T0 + 4 * HOUR : NOTIFY_NEVER_DUE));
    assert_true(notify_first_warning(t, &e) == notify_warn_at(t, &e, 0));
  }
  set(RCPT_TODO, "DELAY", 0);
  assert_int_equal(notify_end(t, &e, 0), T0 + 24 * HOUR);
  rcpt.is_warned = 1;
  assert_true(notify_warn_at(t, &e, 0) == NOTIFY_NEVER_DUE);
  set(RCPT_DONE, "DELAY", 0);
  assert_true(notify_warn_at(t, &e, 0) == NOTIFY_NEVER_DUE);
  set(RCPT_TODO, "DELAY", 0);
  rcpt.next = UINT32_MAX; /* held */
  assert_true(notify_warn_at(t, &e, 0) == NOTIFY_NEVER_DUE);
  e.sender = "";
  assert_int_equal(notify_end(t, &e, 0), T0 + 6 * HOUR);
  table_close(t);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(words), cmocka_unit_test(success),
                                     cmocka_unit_test(failure), cmocka_unit_test(warnings)};

  return cmocka_run_group_tests_name("notify", tests, NULL, NULL);
}
