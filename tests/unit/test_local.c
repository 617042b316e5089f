/* test_local.c - local deliveries from the manager's ATTEMPT to its RESULT, with a manager
 * and an intake in the same loop */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/chan.h"
#include "common/program.h"
#include "common/settings.h"
#include "common/verdict.h"
#include "deliver/forward.h"
#include "deliver/localspawn.h"
#include "queue/envelope.h"

static struct table *tables;
const struct table *__wrap_program_table(void);

const struct table *__wrap_program_table(void)
{
  return tables;
}

/* ---- the other programs */

enum intake_mood { INTAKE_TAKES, INTAKE_REFUSES, INTAKE_LEAVES };

static struct {
  struct chan manager, intake;
  enum intake_mood mood;
  char verdict[8], status[16], reply[1100], outcome[200];
  uint64_t until;
  char sender[200], flags[20], rcpts[400], notify[40], orcpt[200], how[20];
  stralloc data;
  int results, commits;
} seen;

static void copy(char *out, size_t room, const struct wire_field *f)
{
  size_t n = f->len < room - 1 ? f->len : room - 1;

  memcpy(out, f->s, n);
  out[n] = 0;
}

static int manager_gets(struct chan *c, struct wire_msg *m, const char **why)
{
  (void)c;
  (void)why;
  if (m->type == WIRE_RESULT) {
    seen.results++;
    copy(seen.verdict, sizeof seen.verdict, &m->f[2]);
    wire_get_num(m, 3, UINT64_MAX, &seen.until);
    copy(seen.status, sizeof seen.status, &m->f[4]);
    copy(seen.reply, sizeof seen.reply, &m->f[5]);
    copy(seen.how, sizeof seen.how, &m->f[6]);
  } else if (m->type == WIRE_FINISHED) {
    copy(seen.outcome, sizeof seen.outcome, &m->f[1]);
    loop_end();
  }
  return 0;
}

static void intake_says(enum wire_type t, const struct wire_msg *m, const char *a, const char *b)
{
  struct wire_out o;

  wire_start(&o, t);
  wire_bytes(&o, m->f[0].s, m->f[0].len);
  wire_str(&o, a);
  if (b)
    wire_str(&o, b);
  assert_int_equal(chan_send(&seen.intake, &o, -1), 0);
}

static int intake_gets(struct chan *c, struct wire_msg *m, const char **why)
{
  static uint64_t expected;
  uint64_t count;

  (void)c;
  (void)why;
  if (m->type == WIRE_BEGIN) {
    wire_get_num(m, 8, 1000, &expected);
    copy(seen.flags, sizeof seen.flags, &m->f[1]);
    copy(seen.sender, sizeof seen.sender, &m->f[2]);
    seen.rcpts[0] = 0;
    seen.data.len = 0;
  } else if (m->type == WIRE_RCPT) {
    strncat(seen.rcpts, m->f[1].s, m->f[1].len);
    strcat(seen.rcpts, " ");
    copy(seen.notify, sizeof seen.notify, &m->f[2]);
    copy(seen.orcpt, sizeof seen.orcpt, &m->f[3]);
    count = expected--;
    if (seen.mood == INTAKE_LEAVES)
      chan_close(&seen.intake);
    else if (count == 1 && seen.mood == INTAKE_REFUSES)
      intake_says(WIRE_REFUSED, m, "temp", "452 4.3.1 no room");
    else if (count == 1)
      intake_says(WIRE_OPENED, m, "ID1", NULL);
  } else if (m->type == WIRE_DATA) {
    stralloc_catb(&seen.data, m->f[1].s, m->f[1].len);
  } else if (m->type == WIRE_COMMIT) {
    seen.commits++;
    intake_says(WIRE_DONE, m, "ID1", NULL);
  }
  return 0;
}

static void gone(struct chan *c, const char *why)
{
  (void)c;
  assert_null(why);
}

static const struct chan_ops manager_ops = {manager_gets, gone, NULL};
static const struct chan_ops intake_ops = {intake_gets, gone, NULL};

/* ---- an instance */

static char mail_dir[] = "/tmp/heloise-local-XXXXXX";

static void connect_intake(void)
{
  int fd[2];

  chan_close(&seen.intake);
  assert_int_equal(chan_pair(fd), 0);
  assert_int_equal(forward_channel(fd[0]), 0);
  assert_int_equal(chan_open(&seen.intake, fd[1], LINK_INJECT, WIRE_HIGH, &intake_ops), 0);
}

static void make_tables(void)
{
  static const char *const entries[][3] = {
    {"mailboxes", "alice", "alice/"},      {"mailboxes", "keeper", "kept/keeper/"},
    {"aliases", "team", "alice, bob@example.net"}, {"aliases", "keeper", "keeper, alice"},
    {"aliases", "self", "self"},           {"aliases", "one", "bob@example.net"},
              {"mailboxes", "up", "../up/"},
    {"retry", "*", "every 10s life 60s"},
  };
  int fd = memfd_create("tables", MFD_CLOEXEC);
  struct table_maker *m = table_maker_start(fd);

  for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
    table_maker_add(m, entries[i][0], entries[i][1], strlen(entries[i][1]), entries[i][2],
                    strlen(entries[i][2]));
  assert_int_equal(table_maker_finish(m), 0);
  tables = table_open(fd);
  close(fd);
}

static int setup(void **state)
{
  int fd[2];

  (void)state;
  signal(SIGPIPE, SIG_IGN);
  settings.hostname = "mail.example";
  settings.postmaster = "";
  seen.manager.fd = seen.intake.fd = -1;
  make_tables();
  assert_non_null(mkdtemp(mail_dir));
  /* as root, an owner who may be delivered as */
  if (geteuid() == 0)
    assert_int_equal(chown(mail_dir, 65534, 65534), 0);
  localspawn_mail(open(mail_dir, O_RDONLY | O_DIRECTORY));
  assert_int_equal(localspawn_start(), 0);
  assert_int_equal(chan_pair(fd), 0);
  assert_int_equal(localspawn_manager(fd[0]), 0);
  assert_int_equal(chan_open(&seen.manager, fd[1], LINK_ATTEMPTS, WIRE_HIGH, &manager_ops), 0);
  return 0;
}

static int teardown(void **state)
{
  char command[100];

  (void)state;
  snprintf(command, sizeof command, "rm -rf %s", mail_dir);
  table_close(tables);
  free(seen.data.s);
  return system(command);
}

static const char *wanted_notify = "", *wanted_orcpt = "";

static int queue_file(const char *sender, const char *rcpt, uint64_t created, const char *body)
{
  struct envelope_new n = {.id = "testid1", .sender = sender, .envid = "", .ret = "",
                           .client = "192.0.2.1:25", .helo = "x.example", .protocol = "ESMTP",
                           .created = created, .flags = ENVELOPE_8BITMIME | ENVELOPE_RELAYED};
  struct envelope_sum sum = {.body_len = strlen(body), .longest = 10};
  int fd = memfd_create("message", MFD_CLOEXEC);
  stralloc block = {0};

  assert_int_equal(envelope_begin(&block, &n), 0);
  assert_int_equal(envelope_add_rcpt(&block, "other@mail.example", "", ""), 0);
  assert_int_equal(envelope_add_rcpt(&block, rcpt, wanted_notify, wanted_orcpt), 0);
  assert_int_equal(envelope_finish(&block), 0);
  sum.env_len = block.len;
  envelope_head(block.s, &sum);
  stralloc_cats(&block, body);
  stralloc_cats(&block, ENVELOPE_END);
  assert_int_equal(write(fd, block.s, block.len), (ssize_t)block.len);
  free(block.s);
  return fd;
}

static void fire_too_late(struct loop_timer *t)
{
  (void)t;
  loop_end();
}

/* sends one ATTEMPT for the second recipient and runs the loop until FINISHED */
static void attempt(const char *hop, int fd)
{
  static struct loop_timer late = {.fire = fire_too_late};
  struct wire_out o;

  seen.outcome[0] = seen.verdict[0] = seen.status[0] = seen.reply[0] = 0;
  wire_start(&o, WIRE_ATTEMPT);
  wire_num(&o, 7);
  wire_str(&o, "testid1");
  wire_str(&o, hop);
  wire_num(&o, 0);
  wire_str(&o, "1");
  assert_int_equal(chan_send(&seen.manager, &o, fd), 0);
  close(fd);
  loop_timer_in(&late, 20000);
  loop_run();
  loop_timer_stop(&late);
}

static void attempt_for(const char *rcpt)
{
  attempt("local", queue_file("s@x.example", rcpt, (uint64_t)time(NULL),
                              "Subject: t\r\n\r\nbody\r\n"));
}

static int files_in(const char *box, char text[1000])
{
  char path[300], file[700];
  int n = 0;
  DIR *d;
  struct dirent *e;

  snprintf(path, sizeof path, "%s/%s/new", mail_dir, box);
  d = opendir(path);
  while (d && (e = readdir(d)))
    if (e->d_name[0] != '.') {
      int fd;
      ssize_t len;
      snprintf(file, sizeof file, "%s/%s", path, e->d_name);
      fd = open(file, O_RDONLY);
      len = read(fd, text, 999);
      text[len > 0 ? len : 0] = 0;
      close(fd);
      n++;
    }
  if (d)
    closedir(d);
  return n;
}

/* ---- the tests */

static void delivers_to_a_mailbox(void **state)
{
  char text[1000];
  struct stat st;
  char path[300];

  (void)state;
  attempt_for("Alice@mail.example");
  assert_string_equal(seen.outcome, "reported");
  assert_string_equal(seen.verdict, "ok");
  assert_string_equal(seen.status, "2.0.0");
  assert_int_equal(files_in("alice", text), 1);
  assert_string_equal(text, "Return-Path: <s@x.example>\nDelivered-To: Alice@mail.example\n"
                            "Subject: t\n\nbody\n");
  snprintf(path, sizeof path, "%s/alice", mail_dir);
  assert_int_equal(stat(path, &st), 0);
  assert_int_equal(st.st_mode & 0777, 0700);
  assert_true(st.st_uid != 0);
}

static void refuses_unknown_users(void **state)
{
  (void)state;
  attempt_for("no-such-user-here@mail.example");
  assert_string_equal(seen.verdict, "perm");
  assert_string_equal(seen.status, "5.1.1");
}

static void never_delivers_as_root(void **state)
{
  char text[1000];

  (void)state;
  attempt_for("root@mail.example");
  assert_string_equal(seen.verdict, "ok");
  assert_int_equal(files_in("postmaster", text), 1);
}

static void defers_what_may_heal(void **state)
{
  char path[300];
  uint64_t now = (uint64_t)time(NULL);

  (void)state;
  attempt_for("up@mail.example");
  assert_string_equal(seen.verdict, "temp");
  assert_string_equal(seen.status, "4.3.5");
  assert_true(seen.until > now && seen.until <= now + 70);
  snprintf(path, sizeof path, "%s/postmaster/new", mail_dir);
  assert_int_equal(chmod(path, 0), 0);
  if (geteuid() != 0 || chown(path, 0, 0) == 0) {
    attempt_for("postmaster@mail.example");
    assert_string_equal(seen.verdict, "temp");
    assert_string_equal(seen.status, "4.2.0");
    /* its life is over: the last reason is kept */
    attempt("local", queue_file("", "postmaster@mail.example", now - 90000, "x\r\n"));
    assert_string_equal(seen.verdict, "perm");
    assert_string_equal(seen.status, "4.4.7");
    assert_int_equal(strncmp(seen.reply, "delivery time expired: ", 23), 0);
  }
  assert_int_equal(chmod(path, 0700), 0);
}

static void sends_aliases_on(void **state)
{
  (void)state;
  connect_intake();
  attempt_for("team@mail.example");
  assert_string_equal(seen.verdict, "ok");
  assert_string_equal(seen.reply, "sent on as ID1");
  assert_string_equal(seen.sender, "s@x.example");
  assert_string_equal(seen.flags, "br");
  assert_string_equal(seen.rcpts, "alice@mail.example bob@example.net ");
  stralloc_0(&seen.data);
  assert_string_equal(seen.data.s,
                      "Delivered-To: team@mail.example\r\nSubject: t\r\n\r\nbody\r\n");
}

static void keeps_a_copy_for_itself(void **state)
{
  char text[1000];

  (void)state;
  attempt_for("keeper@mail.example");
  assert_string_equal(seen.verdict, "ok");
  assert_string_equal(seen.rcpts, "alice@mail.example ");
  assert_int_equal(files_in("kept/keeper", text), 1);
  attempt_for("self@mail.example");
  assert_string_equal(seen.verdict, "perm");
}

/* RFC 3461 5.2.7: one address takes all over; of several nobody reports success but the alias */
static void reports_by_notify(void **state)
{
  static const struct {
    const char *rcpt, *notify, *orcpt, *how, *passed_notify, *passed_orcpt;
  } rows[] = {
    {"alice@mail.example", "SUCCESS", "", "delivered", NULL, NULL},
    {"one@mail.example", "SUCCESS,DELAY", "rfc822;first@x", "", "SUCCESS,DELAY", "rfc822;first@x"},
    {"one@mail.example", "", "", "", "", "rfc822;one@mail.example"},
    {"team@mail.example", "", "", "expanded", "", "rfc822;team@mail.example"},
    {"team@mail.example", "NEVER", "", "expanded", "NEVER", "rfc822;team@mail.example"},
    {"team@mail.example", "SUCCESS", "", "expanded", "NEVER", "rfc822;team@mail.example"},
    {"team@mail.example", "SUCCESS,FAILURE,DELAY", "", "expanded", "FAILURE,DELAY", "rfc822;team@mail.example"},
    {"team@mail.example", "FAILURE,SUCCESS", "", "expanded", "FAILURE", "rfc822;team@mail.example"},
    {"keeper@mail.example", "FAILURE,SUCCESS,DELAY", "", "expanded", "FAILURE,DELAY", "rfc822;keeper@mail.example"},
  };

  (void)state;
  connect_intake();
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    seen.how[0] = 0;
    wanted_notify = rows[i].notify;
    wanted_orcpt = rows[i].orcpt;
    attempt_for(rows[i].rcpt);
    assert_string_equal(seen.verdict, "ok");
    assert_string_equal(seen.how, rows[i].how);
    if (rows[i].passed_notify)
      assert_string_equal(seen.notify, rows[i].passed_notify);
    if (rows[i].passed_orcpt)
      assert_string_equal(seen.orcpt, rows[i].passed_orcpt);
  }
  wanted_notify = wanted_orcpt = "";
  attempt("local", queue_file("s@x.example", "nobody@mail.example", (uint64_t)time(NULL), "x\r\n"));
  assert_string_equal(seen.how, "");
}

static void stops_loops(void **state)
{
  int commits = seen.commits;

  (void)state;
  attempt("local", queue_file("s@x.example", "team@mail.example", (uint64_t)time(NULL),
                              "Subject: t\r\ndelivered-to: TEAM@mail.example\r\n\r\nx\r\n"));
  assert_string_equal(seen.verdict, "perm");
  assert_string_equal(seen.status, "5.4.6");
  assert_int_equal(seen.commits, commits);
}

static void waits_for_the_intake(void **state)
{
  (void)state;
  seen.mood = INTAKE_REFUSES;
  attempt_for("team@mail.example");
  assert_string_equal(seen.verdict, "temp");
  assert_string_equal(seen.status, "4.3.1");
  assert_string_equal(seen.reply, "452 4.3.1 no room");
  seen.mood = INTAKE_LEAVES;
  attempt_for("team@mail.example");
  assert_string_equal(seen.verdict, "temp");
  attempt_for("team@mail.example");
  assert_string_equal(seen.verdict, "temp");
  seen.mood = INTAKE_TAKES;
  connect_intake();
  attempt_for("team@mail.example");
  assert_string_equal(seen.verdict, "ok");
}

/* more than a channel holds at once */
static void sends_large_messages_on(void **state)
{
  static const char head[] = "Subject: large\r\n\r\n";
  size_t len = 12 * 1024 * 1024;
  char *body = malloc(len + 1);

  (void)state;
  assert_non_null(body);
  memset(body, 'x', len);
  memcpy(body, head, sizeof head - 1);
  memcpy(body + len - 2, "\r\n", 3);
  attempt("local", queue_file("s@x.example", "team@mail.example", (uint64_t)time(NULL), body));
  assert_string_equal(seen.verdict, "ok");
  assert_int_equal(seen.data.len, len + strlen("Delivered-To: team@mail.example\r\n"));
  free(body);
}

static void refuses_jobs_of_others(void **state)
{
  int results = seen.results, fd = memfd_create("x", MFD_CLOEXEC);

  (void)state;
  attempt("local", fd);
  assert_string_not_equal(seen.outcome, "reported");
  attempt("mx:example.org", queue_file("s@x.example", "alice@mail.example", 1, "x\r\n"));
  assert_string_equal(seen.outcome, "not a job for local delivery");
  assert_int_equal(seen.results, results);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(delivers_to_a_mailbox), cmocka_unit_test(refuses_unknown_users),
    cmocka_unit_test(never_delivers_as_root), cmocka_unit_test(defers_what_may_heal),
    cmocka_unit_test(sends_aliases_on),      cmocka_unit_test(keeps_a_copy_for_itself),
    cmocka_unit_test(reports_by_notify),
    cmocka_unit_test(stops_loops),           cmocka_unit_test(waits_for_the_intake),
    cmocka_unit_test(sends_large_messages_on), cmocka_unit_test(refuses_jobs_of_others),
  };

  return cmocka_run_group_tests_name("local", tests, setup, teardown);
}
