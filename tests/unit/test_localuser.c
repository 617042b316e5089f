/* test_localuser.c - who is behind a local part */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/localuser.h"
#include "common/settings.h"

int __wrap_getpwnam_r(const char *name, struct passwd *pw, char *room, size_t len,
                      struct passwd **result);

/* the user database of these tests */
int __wrap_getpwnam_r(const char *name, struct passwd *pw, char *room, size_t len,
                      struct passwd **result)
{
  static const struct passwd users[] = {
    {.pw_name = "root", .pw_uid = 0, .pw_dir = "/root"},
    {.pw_name = "toor", .pw_uid = 0, .pw_dir = "/root"},
    {.pw_name = "alice", .pw_uid = 1000, .pw_gid = 100, .pw_dir = "/home/alice"},
    {.pw_name = "daemon", .pw_uid = 2, .pw_gid = 2, .pw_dir = "/usr/sbin"},
    {.pw_name = "nohome", .pw_uid = 3, .pw_gid = 3, .pw_dir = "/nonexistent"},
    {.pw_name = "nowhere", .pw_uid = 3, .pw_gid = 3, .pw_dir = ""},
    {.pw_name = "below", .pw_uid = 3, .pw_gid = 3, .pw_dir = "/dev/null/below"},
    {.pw_name = "filehome", .pw_uid = 3, .pw_gid = 3, .pw_dir = "/etc/file"},
    {.pw_name = "hidden", .pw_uid = 1002, .pw_gid = 100, .pw_dir = "/home/closed/hidden"},
    {.pw_name = "broken", .pw_uid = 1003, .pw_gid = 100, .pw_dir = "/home/broken"},
    {.pw_name = "Carol", .pw_uid = 1001, .pw_gid = 100, .pw_dir = "/home/Carol"},
  };

  (void)room;
  (void)len;
  *result = NULL;
  if (strcmp(name, "trouble") == 0)
    return EIO;
  for (size_t i = 0; i < sizeof users / sizeof *users; i++)
    if (strcmp(users[i].pw_name, name) == 0) {
      *pw = users[i];
      *result = pw;
    }
  return 0;
}

int __wrap_stat(const char *path, struct stat *st);

/* and its homes */
int __wrap_stat(const char *path, struct stat *st)
{
  static const struct {
    const char *path;
    uid_t uid;
    mode_t mode;
    int error;
  } homes[] = {
    {"/home/alice", 1000, S_IFDIR | 0700, 0},
    {"/home/Carol", 1001, S_IFDIR | 0755, 0},
    {"/usr/sbin", 0, S_IFDIR | 0755, 0},
    {"/etc/file", 3, S_IFREG | 0644, 0},
    {"/dev/null/below", 0, 0, ENOTDIR},
    {"/home/closed/hidden", 0, 0, EACCES},
    {"/home/broken", 0, 0, EIO},
  };

  errno = ENOENT;
  for (size_t i = 0; i < sizeof homes / sizeof *homes; i++)
    if (strcmp(homes[i].path, path) == 0) {
      *st = (struct stat){.st_uid = homes[i].uid, .st_mode = homes[i].mode};
      errno = homes[i].error;
    }
  return errno ? -1 : 0;
}

static const char *const entries[][3] = {
  {"aliases", "abuse", "alice, bob@example.net"}, {"aliases", "both", "both, alice"},
  {"aliases", "hostmaster", "root"},              {"mailboxes", "bob", "bob/"},
  {"mailboxes", "both", "shared/both/"},          {"mailboxes", "Dora", "dora/"},
};

static int make_table(void **state)
{
  int fd = memfd_create("tables", MFD_CLOEXEC);
  struct table_maker *m = table_maker_start(fd);

  for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
    table_maker_add(m, entries[i][0], entries[i][1], strlen(entries[i][1]), entries[i][2],
                    strlen(entries[i][2]));
  if (table_maker_finish(m) != 0)
    return -1;
  *state = table_open(fd);
  close(fd);
  settings.hostname = "mail.example";
  return *state ? 0 : -1;
}

static int free_table(void **state)
{
  table_close(*state);
  return 0;
}

#define SYS LOCALUSER_HAS_SYSTEM

static void finds(void **state)
{
  static const struct {
    const char *local;
    int flags;
    const char *postmaster;
    enum verdict v;
    enum localuser_kind kind;
    const char *text;
  } rows[] = {
    {"abuse", 0, "", V_OK, LOCALUSER_ALIAS, "alice, bob@example.net"},
    {"ABUSE", 0, "", V_OK, LOCALUSER_ALIAS, "alice, bob@example.net"},
    {"bob", 0, "", V_OK, LOCALUSER_MAILBOX, "bob/"},
    {"Bob", SYS, "", V_OK, LOCALUSER_MAILBOX, "bob/"},
    {"Dora", 0, "", V_OK, LOCALUSER_MAILBOX, "dora/"},
    {"both", 0, "", V_OK, LOCALUSER_ALIAS, "both, alice"},
    {"both", LOCALUSER_NO_ALIAS, "", V_OK, LOCALUSER_MAILBOX, "shared/both/"},
    {"abuse", LOCALUSER_NO_ALIAS, "", V_PERM, LOCALUSER_UNKNOWN, ""},
    {"alice", SYS, "", V_OK, LOCALUSER_SYSTEM, "alice"},
    {"Alice", SYS, "", V_OK, LOCALUSER_SYSTEM, "alice"},
    {"Carol", SYS, "", V_OK, LOCALUSER_SYSTEM, "Carol"},
    {"carol", SYS, "", V_PERM, LOCALUSER_UNKNOWN, ""},
    {"alice", 0, "", V_PERM, LOCALUSER_UNKNOWN, ""},
    {"nobody", SYS, "", V_PERM, LOCALUSER_UNKNOWN, ""},
    {"daemon", SYS, "", V_PERM, LOCALUSER_UNKNOWN, ""},
    {"nohome", SYS, "", V_PERM, LOCALUSER_UNKNOWN, ""},
    {"nowhere", SYS, "", V_PERM, LOCALUSER_UNKNOWN, ""},
    {"below", SYS, "", V_PERM, LOCALUSER_UNKNOWN, ""},
    {"filehome", SYS, "", V_PERM, LOCALUSER_UNKNOWN, ""},
    {"hidden", SYS, "", V_OK, LOCALUSER_SYSTEM, "hidden"},
    {"broken", SYS, "", V_TEMP, LOCALUSER_UNKNOWN, ""},
    {"trouble", SYS, "", V_TEMP, LOCALUSER_UNKNOWN, ""},
    {"", SYS, "", V_PERM, LOCALUSER_UNKNOWN, ""},
    {"a/b", SYS, "", V_PERM, LOCALUSER_UNKNOWN, ""},
    {"postmaster", 0, "", V_OK, LOCALUSER_MAILBOX, "postmaster/"},
    {"PostMaster", SYS, "", V_OK, LOCALUSER_MAILBOX, "postmaster/"},
    {"root", 0, "", V_OK, LOCALUSER_MAILBOX, "postmaster/"},
    {"root", SYS, "", V_OK, LOCALUSER_MAILBOX, "postmaster/"},
    {"toor", SYS, "", V_OK, LOCALUSER_MAILBOX, "postmaster/"},
    {"toor", SYS, "alice", V_OK, LOCALUSER_ALIAS, "alice"},
    {"root", SYS, "alice", V_OK, LOCALUSER_ALIAS, "alice"},
    {"postmaster", 0, "staff@example.net", V_OK, LOCALUSER_ALIAS, "staff@example.net"},
    {"postmaster", 0, "Root@mail.example", V_OK, LOCALUSER_MAILBOX, "postmaster/"},
    {"root", 0, "postmaster", V_OK, LOCALUSER_MAILBOX, "postmaster/"},
    {"hostmaster", 0, "", V_OK, LOCALUSER_ALIAS, "root"},
  };
  struct localuser u = {0};

  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    const char *why = "";
    enum verdict v;
    settings.postmaster = rows[i].postmaster;
    v = localuser_find(*state, rows[i].local, strlen(rows[i].local), rows[i].flags, &u, &why);
    if (v != rows[i].v || u.kind != rows[i].kind ||
        (v == V_OK && (strcmp(u.text.s, rows[i].text) != 0 || u.text.len != strlen(u.text.s))))
      fail_msg("%s: %s, kind %d, %s", rows[i].local, verdict_word(v), (int)u.kind,
               v == V_OK ? u.text.s : why);
    if (u.kind == LOCALUSER_SYSTEM)
      assert_true(u.uid >= 1000 && u.gid == 100 && strncmp(u.home.s, "/home/", 6) == 0);
  }
  localuser_free(&u);
}

static void refuses_hostile_parts(void **state)
{
  static char large[1000];
  struct localuser u = {0};
  const char *why = "";

  memset(large, 'a', sizeof large);
  assert_int_equal(localuser_find(*state, large, sizeof large, SYS, &u, &why), V_PERM);
  assert_int_equal(localuser_find(*state, "alice\0x", 7, SYS, &u, &why), V_PERM);
  assert_int_equal(localuser_find(NULL, "bob", 3, 0, &u, &why), V_PERM);
  localuser_free(&u);
}

static void splits(void **state)
{
  static const struct {
    const char *text, *words;
  } rows[] = {
    {"a, b@c\td", "a|b@c|d|"}, {"", ""},          {" , ,", ""},
    {"\"x, y\"@z,b", "\"x, y\"@z|b|"}, {"a\\,b c", "a\\,b|c|"}, {"\"open, b", "\"open, b|"},
  };

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    char words[100] = "";
    const char *s;
    size_t at = 0, len;
    while (localuser_next(rows[i].text, strlen(rows[i].text), &at, &s, &len)) {
      strncat(words, s, len);
      strcat(words, "|");
    }
    assert_string_equal(words, rows[i].words);
  }
}

static void checks_paths(void **state)
{
  static const char *const good[] = {"a/", "Maildir/", "a/b/", ".mail/", "a.b/", "..a/", "a../"};
  static const char *const bad[] = {"", "/", "a", "/a/", "../", "a/../b/", "./", "a/./", "a//",
                                    "a\n/", "..", "a/.."};

  (void)state;
  for (size_t i = 0; i < sizeof good / sizeof *good; i++)
    if (!localuser_is_path(good[i], strlen(good[i])))
      fail_msg("%s", good[i]);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (localuser_is_path(bad[i], strlen(bad[i])))
      fail_msg("%s", bad[i]);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(finds),
    cmocka_unit_test(refuses_hostile_parts),
    cmocka_unit_test(splits),
    cmocka_unit_test(checks_paths),
  };

  return cmocka_run_group_tests_name("localuser", tests, make_table, free_table);
}
