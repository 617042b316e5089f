/* localuser.c - who is behind a local part of a local domain
 *
 * Runs in heloise-auth (user hlauth) and heloise-local (root). The local part is hostile
 * bytes; it is only ever compared and looked up. */
#include "common/localuser.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/settings.h"

#define LOCAL_MAX 256
#define PASSWD_ROOM (64 * 1024)
#define OWN_MAILDIR "postmaster/"

static int set_text(stralloc *out, const char *s, size_t len)
{
  if (!stralloc_copyb(out, s, len) || !stralloc_0(out))
    return -1;
  out->len--;
  return 0;
}

static enum verdict found(struct localuser *u, enum localuser_kind kind, const char *s, size_t len,
                          const char **why)
{
  *why = "out of memory";
  if (set_text(&u->text, s, len) != 0)
    return V_TEMP;
  u->kind = kind;
  return V_OK;
}

static int in_table(const struct table *t, const char *name, const char *local, const char *lower,
                    struct table_value *v)
{
  return table_get(t, name, local, strlen(local), v) ||
         table_get(t, name, lower, strlen(lower), v);
}

/* mail to postmaster and root goes where the setting says, unless that is one of the two
 * again: then into a Maildir of its own, which always exists */
static enum verdict rule_for_root(struct localuser *u, const char **why)
{
  const char *to = settings.postmaster;
  size_t local = strcspn(to, "@");

  if (local == 0 || (local == 4 && strncasecmp(to, "root", 4) == 0) ||
      (local == 10 && strncasecmp(to, "postmaster", 10) == 0))
    return found(u, LOCALUSER_MAILBOX, OWN_MAILDIR, strlen(OWN_MAILDIR), why);
  return found(u, LOCALUSER_ALIAS, to, strlen(to), why);
}

/* V_OK: found, or *pw is NULL: nobody */
static enum verdict system_user(const char *name, char *room, struct passwd *entry,
                                struct passwd **pw, const char **why)
{
  int e = getpwnam_r(name, entry, room, PASSWD_ROOM, pw);

  *why = "the user database does not answer";
  if (e == 0 || e == ENOENT || e == ESRCH)
    return V_OK;
  *pw = NULL;
  return V_TEMP;
}

/* V_PERM: an account that can never get mail, as those of services */
static enum verdict check_home(const struct passwd *pw, const char **why)
{
  struct stat st;

  if (stat(pw->pw_dir, &st) == 0)
    return S_ISDIR(st.st_mode) && st.st_uid == pw->pw_uid ? V_OK : V_PERM;
  if (errno == ENOENT || errno == ENOTDIR)
    return V_PERM;
  *why = "the home directory cannot be looked at";
  return errno == EACCES ? V_OK : V_TEMP; /* EACCES: not for this user to see */
}

static enum verdict take_user(const struct passwd *pw, struct localuser *u, const char **why)
{
  enum verdict v;

  if (pw->pw_uid == 0)
    return rule_for_root(u, why);
  v = check_home(pw, why);
  if (v != V_OK)
    return v;
  *why = "out of memory";
  if (set_text(&u->home, pw->pw_dir, strlen(pw->pw_dir)) != 0)
    return V_TEMP;
  u->uid = pw->pw_uid;
  u->gid = pw->pw_gid;
  return found(u, LOCALUSER_SYSTEM, pw->pw_name, strlen(pw->pw_name), why);
}

static enum verdict find_system(const char *local, const char *lower, struct localuser *u,
                                const char **why)
{
  char *room = malloc(PASSWD_ROOM);
  struct passwd entry, *pw = NULL;
  enum verdict v;

  *why = "out of memory";
  if (!room)
    return V_TEMP;
  v = system_user(local, room, &entry, &pw, why);
  if (v == V_OK && !pw && strcmp(local, lower) != 0)
    v = system_user(lower, room, &entry, &pw, why);
  if (v == V_OK)
    v = pw ? take_user(pw, u, why) : V_PERM;
  free(room);
  return v;
}

enum verdict localuser_find(const struct table *t, const char *local, size_t len, int flags,
                            struct localuser *u, const char **why)
{
  char name[LOCAL_MAX], lower[LOCAL_MAX];
  struct table_value v;

  u->kind = LOCALUSER_UNKNOWN;
  if (len == 0 || len >= sizeof name || memchr(local, 0, len))
    return V_PERM;
  memcpy(name, local, len);
  name[len] = 0;
  for (size_t i = 0; i <= len; i++)
    lower[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] + 32) : name[i];
  if (!(flags & LOCALUSER_NO_ALIAS) && in_table(t, "aliases", name, lower, &v))
    return found(u, LOCALUSER_ALIAS, v.s, v.len, why);
  if (in_table(t, "mailboxes", name, lower, &v))
    return found(u, LOCALUSER_MAILBOX, v.s, v.len, why);
  if (strcmp(lower, "postmaster") == 0 || strcmp(lower, "root") == 0)
    return rule_for_root(u, why);
  /* ':' and '/' end a field of the user database, or a name in a path */
  if (!(flags & LOCALUSER_HAS_SYSTEM) || strpbrk(name, ":/\n"))
    return V_PERM;
  return find_system(name, lower, u, why);
}

void localuser_free(struct localuser *u)
{
  free(u->text.s);
  free(u->home.s);
  *u = (struct localuser){0};
}

int localuser_has_system(const char *user)
{
  struct passwd *pw;

  if (geteuid() == 0)
    return 1;
  pw = getpwnam(user);
  return pw && pw->pw_uid == geteuid();
}

int localuser_next(const char *text, size_t textlen, size_t *at, const char **s, size_t *len)
{
  static const char gap[] = ", \t";
  size_t start = *at, end;
  int is_quoted = 0;

  while (start < textlen && strchr(gap, text[start]))
    start++;
  for (end = start; end < textlen && (is_quoted || !strchr(gap, text[end])); end++)
    if (text[end] == '"')
      is_quoted = !is_quoted;
    else if (text[end] == '\\' && end + 1 < textlen)
      end++;
  *s = text + start;
  *len = end - start;
  *at = end;
  return end > start;
}

int localuser_is_path(const char *s, size_t len)
{
  size_t part = 0;

  if (len < 2 || len > 255 || s[0] == '/' || s[len - 1] != '/')
    return 0;
  for (size_t i = 0; i < len; i++) {
    unsigned char c = (unsigned char)s[i];
    if (c < 32 || c == 127)
      return 0;
    if (c != '/') {
      part++;
      continue;
    }
    if (part == 0 || (part == 1 && s[i - 1] == '.') ||
        (part == 2 && s[i - 1] == '.' && s[i - 2] == '.'))
      return 0;
    part = 0;
  }
  return 1;
}
