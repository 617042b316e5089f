/* init.c - `heloise init`: makes an instance, complete and built
 *
 * Runs in `heloise`, as the caller: an instance that root makes is for the programs' own
 * users, one that an ordinary user makes runs as that user. */
#include "conf/init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <limits.h>
#include <netdb.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/confine.h"
#include "common/hello.h"
#include "common/ip.h"
#include "common/verdict.h"
#include "conf/build.h"
#include "conf/defaults.h"
#include "conf/flush.h"
#include "conf/getset.h"
#include "conf/lines.h"
#include "conf/owner.h"
#include "conf/selfsigned.h"
#include "conf/tabletypes.h"
#include "queue/store.h"

#define LISTEN_MAX 32

const struct init_user init_users[] = {
  {"hlsmtpd", "smtpd"},     {"hlauth", "auth"},       {"hlqueue", "queue"},
  {"hldeliver", "deliver"}, {"hlresolve", "resolve"}, {NULL, NULL},
};

struct init {
  const struct instance *i;
  char hostname[256];
  char listen[LISTEN_MAX][IP_PORT_TEXT];
  size_t listeners;
  int is_root;
};

int init_has_users(void)
{
  struct confine_ids ids;
  int missing = 0;

  for (const struct init_user *u = init_users; u->name; u++)
    if (confine_ids_find(u->name, &ids) != 0)
      fprintf(stderr, "%s%s", missing++ ? ", " : "heloise: missing: the users ", u->name);
  if (!missing)
    return 1;
  fprintf(stderr, ". Make them with %s/heloise-users (conf/users in the source), as root\n",
          instance_libexec());
  return 0;
}

static int complain(const char *what)
{
  int e = errno;

  fprintf(stderr, "heloise: init: %s: %s\n", what, strerror(e));
  return e == EACCES || e == EPERM ? EXIT_NOPERM : EXIT_CANTCREAT;
}

/* ---- reading the command line */

/* the system's name in full, in lower case; 0, or -1 */
static int system_hostname(char out[256])
{
  struct addrinfo hints = {.ai_flags = AI_CANONNAME, .ai_socktype = SOCK_STREAM}, *found = NULL;

  if (gethostname(out, 255) != 0)
    return -1;
  out[255] = 0;
  if (!strchr(out, '.') && getaddrinfo(out, NULL, &hints, &found) == 0) {
    if (found->ai_canonname)
      snprintf(out, 256, "%s", found->ai_canonname);
    freeaddrinfo(found);
  }
  return 0;
}

static int take_hostname(struct init *n, const char *given)
{
  size_t len;

  if (given)
    snprintf(n->hostname, sizeof n->hostname, "%s", given);
  else if (system_hostname(n->hostname) != 0)
    n->hostname[0] = 0;
  len = strlen(n->hostname);
  for (size_t i = 0; i < len; i++)
    if (n->hostname[i] >= 'A' && n->hostname[i] <= 'Z')
      n->hostname[i] = (char)(n->hostname[i] + 32);
  if (len > 0 && n->hostname[len - 1] == '.')
    n->hostname[--len] = 0;
  if ((!given || strlen(given) < sizeof n->hostname) && hello_is_fqdn(n->hostname, len))
    return EXIT_OK;
  fprintf(stderr,
          "heloise: init: %s%s%s is no full domain name; give one with --hostname, such as "
          "mail.example.org\n",
          given ? "" : "this system's name, ", n->hostname, given ? "" : ",");
  return given ? EXIT_CONFIG : EXIT_USAGE;
}

static int take_listen(struct init *n, const char *text)
{
  struct ip ip;
  uint16_t port;

  if (n->listeners == LISTEN_MAX || ip_port_parse(text, strlen(text), &ip, &port) != 0 || !port) {
    fprintf(stderr, "heloise: init: --listen: expected ADDR:PORT, such as 192.0.2.1:25 or "
                    "[2001:db8::1]:25\n");
    return EXIT_USAGE;
  }
  ip_port_format(n->listen[n->listeners++], &ip, port);
  return EXIT_OK;
}

static int usage(void)
{
  fprintf(stderr, "usage: heloise init [DIR] [--hostname NAME] [--listen ADDR:PORT ...]\n");
  return EXIT_USAGE;
}

static int read_options(struct init *n, int argc, char **argv, const char **dir)
{
  static const struct option options[] = {
    {"hostname", required_argument, NULL, 'h'}, {"listen", required_argument, NULL, 'l'}, {0}};
  const char *hostname = NULL;
  int c;

  optind = 0;
  while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
    if (c == 'h')
      hostname = optarg;
    else if (c != 'l')
      return usage();
    else if (take_listen(n, optarg) != EXIT_OK)
      return EXIT_USAGE;
  }
  if (argc - optind > 1)
    return usage();
  *dir = optind < argc ? argv[optind] : NULL;
  if (n->listeners == 0)
    take_listen(n, "127.0.0.1:25");
  return take_hostname(n, hostname);
}

/* ---- making it */

static int make_dir(const char *path, mode_t mode)
{
  if (mkdir(path, mode) != 0 && errno != EEXIST)
    return complain(path);
  return chmod(path, mode) == 0 ? EXIT_OK : complain(path);
}

/* the lines that init adds to a default table */
static int additions(const struct init *n, const char *table, stralloc *out)
{
  if (strcmp(table, "listen") == 0) {
    for (size_t i = 0; i < n->listeners; i++)
      if (!stralloc_cats(out, n->listen[i]) || !stralloc_cats(out, "  mx\n"))
        return -1;
  } else if (strcmp(table, "certificates") == 0) {
    return stralloc_cats(out, "*  " SELFSIGNED_CERTIFICATE " " SELFSIGNED_KEY "\n") ? 0 : -1;
  } else if (strcmp(table, "domains") == 0) {
    return stralloc_cats(out, n->hostname) && stralloc_cats(out, "  local\n") ? 0 : -1;
  } else if (strcmp(table, "mailboxes") == 0 && !n->is_root) {
    const struct passwd *p = getpwuid(geteuid());
    return !p || (stralloc_cats(out, p->pw_name) && stralloc_cats(out, "  ") &&
                  stralloc_cats(out, p->pw_name) && stralloc_cats(out, "/\n"))
             ? 0
             : -1;
  }
  return 0;
}

static int write_tables(const struct init *n)
{
  const struct passwd *p = n->is_root ? NULL : getpwuid(geteuid());
  const char *const set[] = {"hostname", n->hostname, p ? "postmaster" : NULL,
                             p ? p->pw_name : NULL, NULL};
  int dir = open(n->i->control, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  stralloc text = {0};
  int r = -1;

  if (dir < 0)
    return complain(n->i->control);
  if (selfsigned_make(dir, n->hostname) != 0)
    goto done;
  for (const struct default_table *t = defaults; t->name; t++) {
    if (!stralloc_copys(&text, t->text) || additions(n, t->name, &text) != 0 ||
        lines_replace_as(dir, t->name, &text, tabletypes_find(t->name)->is_secret ? TABLETYPES_SECRET : 0644) != 0)
      goto done;
  }
  /* settings last: where it is, the rest is complete */
  if (getset_template(set, &text) == 0)
    r = lines_replace(dir, "settings", &text);
done:
  r = r == 0 ? EXIT_OK : complain(n->i->control);
  stralloc_free(&text);
  close(dir);
  return r;
}

/* gives a directory, which is closed then, and all below it to a user */
static int give(int dir, const struct confine_ids *ids)
{
  DIR *d = fdopendir(dir);
  const struct dirent *e;
  int r = d ? fchown(dir, ids->uid, ids->gid) : -1;

  while (r == 0 && (e = readdir(d))) {
    int sub;
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
      continue;
    r = fchownat(dir, e->d_name, ids->uid, ids->gid, AT_SYMLINK_NOFOLLOW);
    sub = r ? -1 : openat(dir, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (sub >= 0)
      r = give(sub, ids);
  }
  if (d)
    closedir(d);
  else
    close(dir);
  return r;
}

static int give_queue(const char *path)
{
  struct confine_ids ids;
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  if (fd < 0 || confine_ids_find("hlqueue", &ids) != 0 || give(fd, &ids) != 0)
    return complain(path);
  return EXIT_OK;
}

/* a directory alone: in the installed instance, mail stands in state */
static int give_one(const char *path, const char *user)
{
  struct confine_ids ids;

  if (confine_ids_find(user, &ids) != 0 || chown(path, ids.uid, ids.gid) != 0)
    return complain(path);
  return EXIT_OK;
}

/* sendmail(8), setgid hldrop, may pass through queue and leave files in queue/drop */
static int open_drop(const char *queue)
{
  const struct group *drop = getgrnam("hldrop");
  struct confine_ids intake;
  char path[PATH_MAX];

  snprintf(path, sizeof path, "%s/drop", queue);
  if (!drop) {
    errno = ENOENT;
    return complain("group hldrop");
  }
  if (confine_ids_find("hlqueue", &intake) != 0 || chown(queue, intake.uid, drop->gr_gid) != 0 ||
      chmod(queue, 0710) != 0 || chown(path, intake.uid, drop->gr_gid) != 0 ||
      chmod(path, 03730) != 0) /* files get the group also when root makes them */
    return complain(path);
  return EXIT_OK;
}

static int make_dirs(const struct init *n)
{
  const mode_t shared = n->is_root ? 0711 : 0700; /* what other users may pass through */
  const struct {
    const char *path;
    mode_t mode;
  } dirs[] = {{n->i->dir, 0755},   {n->i->control, 0755}, {n->i->queue, 0700},
              {n->i->state, shared}, {n->i->run, 0755},     {n->i->mail, shared}};

  for (size_t k = 0; k < sizeof dirs / sizeof *dirs; k++)
    if (dirs[k].path && make_dir(dirs[k].path, dirs[k].mode) != EXIT_OK)
      return EXIT_CANTCREAT;
  return EXIT_OK;
}

static int flush_dirs(const struct instance *i)
{
  const char *const dirs[] = {i->mail, i->run, i->state, i->queue, i->control, i->dir};

  for (size_t k = 0; k < sizeof dirs / sizeof *dirs; k++)
    if (dirs[k] && flush_new_dir(dirs[k]) != 0)
      return complain(dirs[k]);
  return EXIT_OK;
}

static int make_queue(const struct init *n)
{
  int fd = open(n->i->queue, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

  if (fd < 0)
    return complain(n->i->queue);
  r = store_make(fd) == 0 ? EXIT_OK : complain(n->i->queue);
  close(fd);
  return r;
}

/* in a privileged instance. Maildirs under mail that are nobody else's, such as the
 * postmaster's, belong to the queue's user, who has that mail in hand anyway. */
static int give_away(const struct instance *i)
{
  int r = give_queue(i->queue);

  if (r == EXIT_OK)
    r = open_drop(i->queue);
  if (r == EXIT_OK)
    r = give_one(i->state, "hldeliver");
  if (r == EXIT_OK)
    r = give_one(i->mail, "hlqueue");
  return r;
}

static int is_made(const struct instance *i)
{
  char path[PATH_MAX];

  snprintf(path, sizeof path, "%s/settings", i->control);
  return access(path, F_OK) == 0;
}

int init_command(const struct instance *given, int argc, char **argv)
{
  struct instance own;
  struct init n = {.i = given};
  const char *dir;
  int r = read_options(&n, argc, argv, &dir);

  if (r != EXIT_OK)
    return r;
  if (dir) {
    if (instance_find(&own, dir) != 0)
      return complain(dir);
    n.i = &own;
  }
  if (is_made(n.i)) {
    fprintf(stderr, "heloise: init: %s is there already; nothing is changed\n", n.i->control);
    return EXIT_CANTCREAT;
  }
  if (owner_become(n.i) != 0)
    return EXIT_NOPERM;
  n.is_root = geteuid() == 0;
  if (n.is_root && !init_has_users())
    return EXIT_CONFIG;
  umask(022);
  r = make_dirs(&n);
  if (r == EXIT_OK)
    r = make_queue(&n);
  if (r == EXIT_OK && n.is_root)
    r = give_away(n.i);
  if (r == EXIT_OK)
    r = flush_dirs(n.i);
  if (r == EXIT_OK)
    r = write_tables(&n);
  if (r == EXIT_OK)
    r = build_tables(n.i);
  if (r == EXIT_OK)
    printf("made %s for %s, listening on %s\n", n.i->dir ? n.i->dir : n.i->control, n.hostname,
           n.listen[0]);
  return r;
}
