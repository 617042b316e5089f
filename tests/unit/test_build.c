/* test_build.c - control tables: what passes, what is refused, and where */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/table.h"
#include "common/verdict.h"
#include "conf/build.h"
#include "conf/tabletypes.h"
#include "smtpd/backend_users.h"

static const struct {
  const char *table, *line;
  int is_legal;
} lines[] = {
  {"settings", "smtp-port 2525", 1},
  {"settings", "smtp-port 0", 0},
  {"settings", "no-such-setting 1", 0},
  {"settings", "domain", 1},
  {"settings", "dns-servers 127.0.0.1@5353 192.0.2.53 [::1]@54", 1},
  {"listen", "127.0.0.1:25 mx", 1},
  {"listen", "[2001:db8::1]:25\tmx", 1},
  {"listen", "127.0.0.1 mx", 0},
  {"listen", "127.0.0.1:0 mx", 0},
  {"listen", "127.0.0.1:587 submission", 1},
  {"listen", "127.0.0.1:24 lmtp", 0},
  {"listen", "unix:lmtp lmtp", 1},
  {"listen", "unix:lmtp mx", 0},
  {"listen", "unix:.lmtp lmtp", 0},
  {"listen", "unix:a/b lmtp", 0},
  {"listen", "unix:control lmtp", 0},
  {"listen", "127.0.0.1:25", 0},
  {"domains", "Example.ORG local", 1},
  {"domains", ".example.org local", 1},
  {"domains", "[192.0.2.1] local", 1},
  {"domains", "example.org relay", 1},
  {"domains", "example.org virtual", 0},
  {"domains", "* local", 0},
  {"domains", "ex ample.org local", 0},
  {"domains", "b\xc3\xbc" "cher.example local", 0},
  {"routes", "* [192.0.2.1]:2525", 1},
  {"routes", ".example.org mx", 1},
  {"routes", "example.org relay.example.net:26", 1},
  {"routes", "example.org error:5.1.2 gone # away", 1},
  {"routes", "example.org hold", 1},
  {"routes", "example.org lmtp:/run/x", 0},
  {"routes", "example.org 192.0.2.1", 0},
  {"routes", "example..org mx", 0},
  {"aliases", "sales alice, bob@example.org", 1},
  {"aliases", "Sales alice bob", 1},
  {"aliases", "sales |/bin/cat", 0},
  {"aliases", "sales \"|/bin/cat\"", 0},
  {"aliases", "sales /var/mail/x", 0},
  {"aliases", "sales :include:/x", 0},
  {"aliases", "sales", 0},
  {"aliases", "sales@example.org alice", 0},
  {"mailboxes", "alice alice/", 1},
  {"mailboxes", "alice alice", 0},
  {"mailboxes", "alice ../alice/", 0},
  {"mailboxes", "alice /home/alice/Maildir/", 0},
  {"access", "client:192.0.2.0/24 relay", 1},
  {"access", "client:2001:db8::/32 relay", 1},
  {"access", "client:* reject go away", 1},
  {"access", "client:192.0.2.1/24 relay", 0},
  {"access", "host:.example.org relay", 1},
  {"access", "host:[192.0.2.1] accept", 0},
  {"access", "host:* accept", 1},
  {"access", "login:alice rate=100/1h", 1},
  {"access", "login:* hold", 1},
  {"access", "login: accept", 0},
  {"access", "tls:no reject", 1},
  {"access", "tls:TLSv1.2 defer", 1},
  {"access", "tls:SSLv3 reject", 0},
  {"access", "rcpt:a@example.org discard", 1},
  {"access", "client:192.0.2.1 hold reject", 0},
  {"dnslists", "zen.example.org 127.0.0.2-9=5 127.0.0.10-11=3 txt", 1},
  {"dnslists", "list.example.org -5", 1},
  {"dnslists", "list.example.org 0", 0},
  {"dnslists", "list..example.org 1", 0},
  {"access", "helo:.example.org reject", 1},
  {"access", "helo:bad.example relay", 0},
  {"access", "sender:a@example.org relay", 0},
  {"access", "sender:@example.org reject", 1},
  {"access", "rcpt:a@Example.org defer later", 1},
  {"access", "anything:a accept", 0},
  {"access", "accept", 0},
  {"peers", "192.0.2.1 helo", 1},
  {"peers", "192.0.2.1:2525 no-8bitmime", 1},
  {"peers", "[2001:db8::1]:25 helo", 1},
  {"peers", "192.0.2.0/24 7697601", 1},
  {"peers", "mx.example.org no-pipelining", 1},
  {"peers", "* ehlo", 1},
  {"peers", "192.0.2.0/33 helo", 0},
  {"peers", "mx.example.org tls=require", 0},
  {"verbs", "* -8bitmime", 1},
  {"verbs", "192.0.2.7 7697601", 1},
  {"verbs", "example.org -8bitmime", 0},
  {"verbs", "* 8bitmime", 0},
  {"verbs", "submission:* -chunking", 1},
  {"verbs", "mx:2001:db8::/32 7697601", 1},
  {"verbs", "lmtp:192.0.2.0/24 -limits", 1},
  {"verbs", "nothing:* -limits", 0},
  {"verbs", "mx: -limits", 0},
  {"settings", "bare-lf-from 192.0.2.1 2001:db8::/32", 1},
  {"settings", "bare-lf-from 192.0.2.1/24", 0},
  {"senders", "alice@Example.org alice bob", 1},
  {"senders", "@example.org *", 1},
  {"senders", "* *", 1},
  {"senders", "alice alice", 0},
  {"senders", "alice@example.org", 0},
  {"users", "alice $2b$05$abcdefghijklmnopqrstuu", 1},
  {"users", "alice@example.org $y$j9T$abcdefgh$x {SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=", 1},
  {"users", "alice {SCRAM-SHA-256}1024,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=", 0},
  {"users", "alice $y$j9T$a$x $y$j9T$a$x", 0},
  {"users", "alice $1$abcdefgh$x", 0},
  {"users", "alice secret", 0},
  {"users", "alice", 0},
  {"retry", "* every 2s life 1m", 1},
  {"retry", "example.org list 15m,30m life 2d", 1},
  {"retry", "example.org list 15,30", 0},
  {"retry", "example.org exim F,2h,15m", 0},
  {"retry", "example.org every", 0},
};

struct place {
  char dir[64];
  int fd, tables;
  struct build_report report;
};

static void put(const struct place *p, const char *table, const char *text)
{
  int fd = openat(p->fd, table, O_WRONLY | O_CREAT | O_TRUNC, 0600);

  assert_true(fd >= 0);
  assert_int_equal(write(fd, text, strlen(text)), strlen(text));
  close(fd);
}

static void setup(struct place *p)
{
  *p = (struct place){.dir = "/tmp/heloise-test-build-XXXXXX"};
  assert_non_null(mkdtemp(p->dir));
  p->fd = open(p->dir, O_RDONLY | O_DIRECTORY);
  p->tables = memfd_create("tables", 0);
  put(p, "settings", "hostname mx.example.org\n");
}

static void teardown(struct place *p)
{
  unlinkat(p->fd, "settings", 0);
  unlinkat(p->fd, "stranger", 0);
  for (size_t i = 0; i < tabletypes_count(); i++)
    unlinkat(p->fd, tabletypes_row(i)->name, 0);
  close(p->fd);
  close(p->tables);
  stralloc_free(&p->report.text);
  assert_int_equal(rmdir(p->dir), 0);
}

static int compile(struct place *p)
{
  int secret = memfd_create("secret", 0), r;

  assert_int_equal(ftruncate(p->tables, 0), 0);
  assert_int_equal(lseek(p->tables, 0, SEEK_SET), 0);
  p->report.errors = 0;
  p->report.text.len = 0;
  r = build_compile(p->fd, "control", p->tables, secret, &p->report);
  close(secret);
  return r;
}

static int reports(const struct place *p, const char *text)
{
  return memmem(p->report.text.s, p->report.text.len, text, strlen(text)) != NULL;
}

static void test_lines(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
    int is_setting = strcmp(lines[i].table, "settings") == 0, r;
    char text[512], where[64];
    struct place p;
    setup(&p);
    snprintf(text, sizeof text, "# a comment\n\n%s%s\r\n",
             is_setting ? "hostname mx.example.org\n" : "", lines[i].line);
    put(&p, lines[i].table, text);
    r = compile(&p);
    snprintf(where, sizeof where, "control/%s:%d: ", lines[i].table, is_setting ? 4 : 3);
    if ((r == 0) != lines[i].is_legal || (r != 0 && !reports(&p, where)))
      fail_msg("%s: %s: %.*s", lines[i].table, lines[i].line, (int)p.report.text.len,
               p.report.text.s);
    teardown(&p);
  }
}

static void test_normal_form(void **state)
{
  struct table_value v;
  struct table *t;
  struct place p;
  struct ip ip;

  (void)state;
  setup(&p);
  put(&p, "domains", "Example.ORG   local  \n");
  put(&p, "aliases", "  Sales\talice,  bob\n");
  put(&p, "access", "client:192.0.2.0/24 relay\nclient:192.0.0.0/16 reject\nrcpt:A@B.Example accept\n");
  put(&p, "verbs", "mx:* -dsn\nmx:192.0.2.0/24 -chunking\n192.0.2.9 -size\n");
  put(&p, "listen", "[::ffff:192.0.2.1]:25 mx\n");
  assert_int_equal(compile(&p), 0);
  t = table_open(p.tables);
  assert_non_null(t);
  assert_true(table_domain(t, "domains", "EXAMPLE.org", 11, &v));
  assert_string_equal(v.s, "local");
  assert_true(table_get(t, "aliases", "sales", 5, &v));
  assert_string_equal(v.s, "alice,  bob");
  assert_int_equal(ip_parse("192.0.2.9", 9, &ip), 0);
  assert_true(table_net(t, "access", "client:", &ip, &v));
  assert_string_equal(v.s, "relay");
  assert_true(table_net(t, "verbs", "mx:", &ip, &v));
  assert_string_equal(v.s, "-chunking");
  assert_true(table_net(t, "verbs", "", &ip, &v));
  assert_string_equal(v.s, "-size");
  assert_int_equal(ip_parse("192.0.3.9", 9, &ip), 0);
  assert_true(table_net(t, "verbs", "mx:", &ip, &v));
  assert_string_equal(v.s, "-dsn");
  assert_true(table_get(t, "access", "rcpt:a@b.example", 16, &v));
  assert_true(table_get(t, "listen", "192.0.2.1:25", 12, &v));
  table_close(t);
  teardown(&p);
}

static void test_whole(void **state)
{
  struct place p;

  (void)state;
  setup(&p);
  put(&p, "settings", "# nothing\n");
  assert_int_equal(compile(&p), -1);
  assert_true(reports(&p, "control/settings: expected a line for hostname"));
  for (size_t i = 0; i < 4; i++) { /* a bad line is one error, not also a missing one */
    static const char *const bad[] = {"hostname mx\n", "hostname\n", "hostname mx.\x01\n", "hostname mx.example.\n"};
    put(&p, "settings", bad[i]);
    assert_int_equal(compile(&p), -1);
    assert_int_equal(p.report.errors, 1);
    assert_true(reports(&p, "control/settings:1: "));
  }
  put(&p, "settings", "hostname mx.example.org\nhostname my.example.org\n");
  assert_int_equal(compile(&p), -1);
  assert_true(reports(&p, "control/settings:2: expected each key once"));
  put(&p, "settings", "hostname mx.example.org\n");
  put(&p, "domains", "a.example local\nx y\nb.example\n");
  put(&p, "routes", "* \x01\n");
  assert_int_equal(compile(&p), -1);
  assert_int_equal(p.report.errors, 3); /* all of them at once */
  put(&p, "domains", "");
  put(&p, "routes", "");
  put(&p, "stranger", "x y\n");
  assert_int_equal(compile(&p), 0);
  assert_true(reports(&p, "control/stranger: warning"));
  put(&p, "virtual", "");
  assert_int_equal(compile(&p), -1);
  assert_int_equal(p.report.errors, 1);
  assert_true(reports(&p, "control/virtual: table virtual is not understood yet"));
  unlinkat(p.fd, "virtual", 0);
  teardown(&p);
}

static ino_t number_of(const char *path)
{
  struct stat st;

  return stat(path, &st) == 0 ? st.st_ino : 0;
}

/* a broken table leaves the compiled ones as they are */
static void test_all_or_nothing(void **state)
{
  struct instance i = {0};
  char path[128];
  struct place p;
  ino_t before;

  (void)state;
  setup(&p);
  i.control = p.dir;
  snprintf(path, sizeof path, "%s/" INSTANCE_TABLES, p.dir);
  assert_int_equal(build_tables(&i), EXIT_OK);
  before = number_of(path);
  assert_true(before != 0);
  put(&p, "domains", "nonsense\n");
  assert_int_equal(build_tables(&i), EXIT_CONFIG);
  assert_int_equal(build_check(&i), EXIT_CONFIG);
  assert_true(number_of(path) == before);
  put(&p, "domains", "");
  assert_int_equal(build_check(&i), EXIT_OK);
  assert_true(number_of(path) == before);
  assert_int_equal(build_tables(&i), EXIT_OK);
  assert_true(number_of(path) != 0);
  unlink(path);
  unlinkat(p.fd, INSTANCE_LOGINS, 0);
  teardown(&p);
}

/* the table of passwords: in no file but its own, which nobody else can read, and what makes
 * salts up stays the same from build to build */
static void test_secrets(void **state)
{
  static const char line[] = "alice  $6$saltsaltsalt$" "qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/\n";
  struct instance i = {0};
  char path[128], first[128], second[128];
  struct table_value v;
  struct table *t;
  struct stat st;
  struct place p;
  int fd;

  (void)state;
  setup(&p);
  i.control = p.dir;
  put(&p, "users", line);
  for (int round = 0; round < 2; round++) {
    assert_int_equal(build_tables(&i), EXIT_OK);
    assert_int_equal(fstatat(p.fd, INSTANCE_LOGINS, &st, 0), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    fd = openat(p.fd, INSTANCE_LOGINS, O_RDONLY);
    t = table_open(fd);
    close(fd);
    assert_true(table_get(t, "users", "alice", 5, &v));
    assert_true(table_get(t, USERS_DECOY_TABLE, USERS_DECOY_KEY, strlen(USERS_DECOY_KEY), &v));
    snprintf(round ? second : first, sizeof first, "%s", v.s);
    table_close(t);
  }
  assert_string_equal(first, second);
  fd = openat(p.fd, INSTANCE_TABLES, O_RDONLY);
  t = table_open(fd);
  close(fd);
  assert_false(table_get(t, "users", "alice", 5, &v));
  assert_true(table_has_lines(t, "users"));
  assert_false(table_has_lines(t, "senders"));
  table_close(t);
  assert_int_equal(fchmodat(p.fd, "users", 0644, 0), 0);
  assert_int_equal(build_check(&i), EXIT_CONFIG);
  snprintf(path, sizeof path, "%s/" INSTANCE_TABLES, p.dir);
  unlink(path);
  unlinkat(p.fd, INSTANCE_LOGINS, 0);
  teardown(&p);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_lines),
    cmocka_unit_test(test_normal_form),
    cmocka_unit_test(test_whole),
    cmocka_unit_test(test_all_or_nothing),
    cmocka_unit_test(test_secrets),
  };

  return cmocka_run_group_tests_name("build", tests, NULL, NULL);
}
