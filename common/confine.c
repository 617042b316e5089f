/* confine.c - what a program gives up before it meets hostile bytes
 *
 * Runs in every program. System calls are denied by groups rather than allowed one by one:
 * which calls libc and NSS need changes from release to release, which ones an attacker
 * needs does not. What is denied gives EPERM, so that a library that tries may go on. */
#include "common/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0 /* sanitizers need /proc, ptrace and terabytes of address space */
#endif

/* ---- the table of programs */

enum loss {
  LOSE_ALWAYS = 0, /* calls that nobody here has a use for */
  LOSE_FORK = 1,
  LOSE_EXEC = 2,
  LOSE_FILES = 4,
  LOSE_CONNECT = 8,   /* making sockets of one's own */
  LOSE_LISTEN = 16,
  LOSE_FAMILIES = 32, /* sockets other than IP */
  LOSE_KILL = 64,
  LOSE_IDS = 128,
  LOSE_ALL_BUT_HEIRS = 256 /* forks and threads, but for CONFINE_HEIR and CONFINE_SUCCESSOR */
};

enum files { FILES_NONE, FILES_DIRS, FILES_ANY };

struct row {
  const char *name;
  unsigned int denied; /* enum loss */
  enum files files;
  const char *const *paths; /* besides directories given: may be read */
  int has_net;              /* uses TCP by itself: Landlock leaves it alone */
  int may_be_root;
  unsigned long descriptors, megabytes; /* limits */
};

static const char *const for_users[] = {"/etc", "/lib", "/lib64", "/usr/lib", "/usr/lib64",
                                        "/usr/share/zoneinfo", "/run", "/var/lib/sss",
                                        "/var/db", NULL};
static const char *const for_exec[] = {"/etc/ld.so.cache", "/etc/ld.so.preload", "/lib", "/lib64",
                                       "/usr/lib", "/usr/lib64", "/usr/local/lib", "/dev/null",
                                       NULL};
static const char *const for_dns[] = {"/etc", "/run", "/usr/share/dns", "/var/lib/unbound",
                                      "/dev/urandom", NULL};

/* stems read what trust is built on, wherever this system keeps it */
static const char *const for_stems[] = {"/etc/ld.so.cache", "/etc/ld.so.preload", "/lib", "/lib64",
                                        "/usr/lib", "/usr/lib64", "/usr/local/lib", "/dev/null",
                                        "/etc/ssl", "/etc/pki", "/etc/ca-certificates",
                                        "/usr/share/ca-certificates",
                                        "/usr/local/share/ca-certificates", "/dev/urandom", NULL};

#define LOSE_ALONE (LOSE_FORK | LOSE_EXEC | LOSE_KILL | LOSE_IDS)

static const struct row rows[] = {
  {"smtpd", LOSE_ALONE | LOSE_FILES | LOSE_CONNECT, FILES_NONE, NULL, 0, 0, 65536, 2048},
  {"auth", LOSE_ALONE | LOSE_LISTEN, FILES_DIRS, for_users, 1, 0, 1024, 512},
  {"pam", LOSE_LISTEN, FILES_ANY, NULL, 1, 1, 1024, 1024},
  {"intake", LOSE_ALONE | LOSE_CONNECT | LOSE_LISTEN, FILES_DIRS, NULL, 0, 0, 65536, 2048},
  {"queue", LOSE_CONNECT | LOSE_IDS, FILES_DIRS, for_exec, 0, 0, 65536, 4096},
  {"bounce", LOSE_ALONE | LOSE_FILES | LOSE_CONNECT | LOSE_LISTEN, FILES_NONE, NULL, 0, 0, 64, 512},
  {"deliver", LOSE_LISTEN | LOSE_FAMILIES | LOSE_IDS, FILES_DIRS, for_stems, 1, 0, 65536, 1024},
  {"local", LOSE_EXEC | LOSE_LISTEN, FILES_ANY, NULL, 1, 1, 8192, 1024},
  {"resolve", LOSE_ALONE | LOSE_LISTEN | LOSE_FAMILIES, FILES_DIRS, for_dns, 1, 0, 65536, 1024},
};
/* what an attempt loses besides what its spawner has lost */
static const struct row attempt = {
  "attempt", LOSE_ALL_BUT_HEIRS | LOSE_EXEC | LOSE_KILL | LOSE_IDS | LOSE_FILES | LOSE_LISTEN | LOSE_FAMILIES,
  FILES_NONE, NULL, 1, 0, 0, 512};

/* ---- limits */

/* for good: never more than n */
static void limit(int which, rlim_t n)
{
  struct rlimit r;

  if (getrlimit(which, &r) != 0)
    return;
  r.rlim_cur = r.rlim_max = n < r.rlim_max ? n : r.rlim_max;
  setrlimit(which, &r);
}

void confine_secrecy(void)
{
  limit(RLIMIT_CORE, 0);
  prctl(PR_SET_DUMPABLE, 0);
}

void confine_descriptors(unsigned long n)
{
  struct rlimit r;

  if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur >= n)
    return;
  if (r.rlim_max < n && geteuid() == 0)
    r.rlim_max = n;
  r.rlim_cur = n < r.rlim_max ? n : r.rlim_max;
  setrlimit(RLIMIT_NOFILE, &r);
}

/* ---- ids */

int confine_ids_find(const char *user, struct confine_ids *ids)
{
  const struct passwd *p;

  errno = 0;
  p = getpwnam(user);
  if (!p) {
    errno = errno ? errno : ENOENT;
    return -1;
  }
  ids->uid = p->pw_uid;
  ids->gid = p->pw_gid;
  ids->ngroups = CONFINE_GROUPS;
  if (getgrouplist(user, p->pw_gid, ids->groups, &ids->ngroups) < 0)
    ids->ngroups = CONFINE_GROUPS; /* more than we need: the first ones will do */
  return 0;
}

int confine_become(const struct confine_ids *ids)
{
  if (setgroups((size_t)ids->ngroups, ids->groups) != 0 ||
      setresgid(ids->gid, ids->gid, ids->gid) != 0 || setresuid(ids->uid, ids->uid, ids->uid) != 0)
    return -1;
  if (ids->uid != 0 && (setuid(0) == 0 || geteuid() != ids->uid || getegid() != ids->gid)) {
    errno = EPERM;
    return -1;
  }
  return 0;
}

/* ---- Landlock: numbers of its interface up to version 6, which older headers lack */

struct landlock_attr {
  uint64_t fs, net, scope;
};
struct landlock_beneath {
  uint64_t allowed;
  int32_t fd;
} __attribute__((packed));

#define LL_EXECUTE (1 << 0)
#define LL_WRITE_FILE (1 << 1)
#define LL_READ_FILE (1 << 2)
#define LL_READ_DIR (1 << 3)
#define LL_MAKE_CHAR (1 << 6)
#define LL_MAKE_SOCK (1 << 9)
#define LL_MAKE_BLOCK (1 << 11)
#define LL_TRUNCATE (1 << 14)
#define LL_OF_FILES (LL_EXECUTE | LL_WRITE_FILE | LL_READ_FILE | LL_TRUNCATE)
#define LL_BIND_AND_CONNECT 3
#define LL_ABSTRACT_SOCKETS_AND_SIGNALS 3
#define LL_PATH_BENEATH 1
#define LL_VERSION 1

static long landlock_version(void)
{
  return syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, LL_VERSION);
}

int confine_has_landlock(void)
{
  return landlock_version() >= 1;
}

/* file rights that each version knows */
static uint64_t rights_of(long version)
{
  static const unsigned int bits[] = {0, 13, 14, 15, 15, 16};

  return (UINT64_C(1) << bits[version > 5 ? 5 : version]) - 1;
}

static int allow_beneath(int ruleset, int fd, uint64_t rights)
{
  struct landlock_beneath b = {rights, fd};
  struct stat st;

  if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
    b.allowed &= LL_OF_FILES;
  return syscall(SYS_landlock_add_rule, ruleset, LL_PATH_BENEATH, &b, 0) == 0 ? 0 : -1;
}

static int allow_paths(int ruleset, const char *const *paths)
{
  for (; paths && *paths; paths++) {
    int r, fd = open(*paths, O_PATH | O_CLOEXEC);
    if (fd < 0)
      continue; /* not on this system */
    r = allow_beneath(ruleset, fd, LL_READ_FILE | LL_READ_DIR);
    close(fd);
    if (r != 0)
      return -1;
  }
  return 0;
}

/* a ruleset for row r: a descriptor; -1 with errno; -2 when there is no Landlock that would
 * do (its first version allows no rename from one directory to another) */
static int ruleset_make(const struct row *r, const int *dirs, size_t n)
{
  long version = landlock_version();
  struct landlock_attr a = {0, 0, 0};
  uint64_t all, never = LL_EXECUTE | LL_MAKE_CHAR | LL_MAKE_BLOCK | LL_MAKE_SOCK;
  int fd;

  if (version < (n > 0 ? 2 : 1))
    return -2;
  all = rights_of(version);
  a.fs = r->denied & LOSE_EXEC ? all : all & ~(uint64_t)LL_EXECUTE;
  if (version >= 4 && !r->has_net)
    a.net = LL_BIND_AND_CONNECT;
  if (version >= 6)
    a.scope = LL_ABSTRACT_SOCKETS_AND_SIGNALS;
  fd = (int)syscall(SYS_landlock_create_ruleset, &a,
                    version >= 6 ? 24UL : version >= 4 ? 16UL : 8UL, 0);
  if (fd < 0)
    return -1;
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  if (r->denied & LOSE_CONNECT)
    never &= ~(uint64_t)LL_MAKE_SOCK; /* it can make none, but move one that lies about */
  for (size_t i = 0; i < n; i++)
    if (allow_beneath(fd, dirs[i], a.fs & ~never))
      goto fail;
  if (allow_paths(fd, r->paths) == 0)
    return fd;
fail:
  close(fd);
  return -1;
}

static int ruleset_apply(int fd)
{
  int r = syscall(SYS_landlock_restrict_self, fd, 0) == 0 ? 0 : -1;

  close(fd);
  return r;
}

/* ---- seccomp */

static const struct {
  unsigned int loss;
  const char *calls;
} denied[] = {
  {LOSE_ALWAYS, "ptrace process_vm_readv process_vm_writev process_madvise kcmp pidfd_getfd "
             "perf_event_open bpf userfaultfd personality"},
  {LOSE_ALWAYS, "mount umount umount2 pivot_root chroot move_mount fsopen fsconfig fsmount fspick "
             "open_tree mount_setattr setns unshare swapon swapoff quotactl quotactl_fd acct"},
  {LOSE_ALWAYS, "init_module finit_module delete_module kexec_load kexec_file_load reboot iopl ioperm "
             "modify_ldt syslog vhangup lookup_dcookie nfsservctl"},
  {LOSE_ALWAYS, "settimeofday stime clock_settime clock_adjtime clock_adjtime64 adjtimex sethostname "
             "setdomainname add_key request_key keyctl name_to_handle_at open_by_handle_at "
             "io_uring_setup io_uring_enter io_uring_register fanotify_init"},
  {LOSE_FORK | LOSE_ALL_BUT_HEIRS, "fork vfork"},
  {LOSE_EXEC, "execve execveat uselib"},
  {LOSE_FILES, "open openat openat2 creat truncate truncate64 unlink unlinkat rename renameat "
            "renameat2 link linkat symlink symlinkat mkdir mkdirat rmdir mknod mknodat chmod "
            "fchmod fchmodat fchmodat2 chown chown32 lchown lchown32 fchown fchown32 fchownat utime "
            "utimes utimensat futimesat setxattr lsetxattr fsetxattr removexattr lremovexattr "
            "fremovexattr readlink readlinkat getdents "
            "getdents64 chdir fchdir inotify_add_watch"},
  {LOSE_CONNECT, "socket connect bind listen"},
  {LOSE_LISTEN, "listen accept accept4"},
  {LOSE_KILL, "kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal pidfd_open"},
  {LOSE_IDS, "setuid setuid32 setgid setgid32 setreuid setreuid32 setregid setregid32 setresuid "
          "setresuid32 setresgid setresgid32 setgroups setgroups32 setfsuid setfsuid32 setfsgid "
          "setfsgid32 capset"},
};

/* denies each of the names in a list; those this architecture has not are skipped */
static int deny_names(scmp_filter_ctx ctx, const char *names)
{
  char word[32];

  while (*names) {
    size_t n = strcspn(names, " ");
    int call;
    memcpy(word, names, n);
    word[n] = 0;
    names += n + strspn(names + n, " ");
    call = seccomp_syscall_resolve_name(word);
    if (call >= 0 && seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), call, 0) != 0)
      return -1;
  }
  return 0;
}

static int deny_when(scmp_filter_ctx ctx, int call, struct scmp_arg_cmp c)
{
  return seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO(EPERM), call, 1, &c) == 0 ? 0 : -1;
}

/* the flags are those of an heir, and perhaps some of what a successor has besides: each bit that
 * must be there, each that must not, and all above */
static int deny_other_flags(scmp_filter_ctx ctx, unsigned int arg)
{
  const scmp_datum_t must = CONFINE_HEIR, may = CONFINE_SUCCESSOR;
  const struct scmp_arg_cmp above = {arg, SCMP_CMP_GT, may, 0};

  for (scmp_datum_t bit = 1; bit <= may; bit <<= 1) {
    struct scmp_arg_cmp wrong = {arg, SCMP_CMP_MASKED_EQ, bit, must & bit ? 0 : bit};
    if (((must & bit) || !(may & bit)) && deny_when(ctx, SCMP_SYS(clone), wrong) != 0)
      return -1;
  }
  return deny_when(ctx, SCMP_SYS(clone), above);
}

/* threads stay possible, or heirs: libc falls back from clone3, whose flags no filter can see */
static int deny_fork(scmp_filter_ctx ctx, unsigned int losses)
{
#ifdef __s390x__
  const unsigned int flags = 1;
#else
  const unsigned int flags = 0;
#endif
  const struct scmp_arg_cmp no_thread = {flags, SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0};

  if (seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) != 0)
    return -1;
  return losses & LOSE_FORK ? deny_when(ctx, SCMP_SYS(clone), no_thread)
                            : deny_other_flags(ctx, flags);
}

/* socket() takes AF_INET and AF_INET6 only */
static int deny_families(scmp_filter_ctx ctx)
{
  int call = SCMP_SYS(socket);

  if (deny_when(ctx, call, (struct scmp_arg_cmp){0, SCMP_CMP_LT, AF_INET, 0}) != 0 ||
      deny_when(ctx, call, (struct scmp_arg_cmp){0, SCMP_CMP_GT, AF_INET6, 0}) != 0)
    return -1;
  for (uint64_t family = AF_INET + 1; family < AF_INET6; family++)
    if (deny_when(ctx, call, (struct scmp_arg_cmp){0, SCMP_CMP_EQ, family, 0}) != 0)
      return -1;
  return 0;
}

/* the filter as the kernel takes it, read back from a file in memory */
static int export(scmp_filter_ctx ctx, struct sock_fprog *prog)
{
  struct stat st;
  int r = -1, fd = memfd_create("filter", MFD_CLOEXEC);

  if (fd < 0)
    return -1;
  if (seccomp_export_bpf(ctx, fd) == 0 && fstat(fd, &st) == 0) {
    prog->len = (unsigned short)((size_t)st.st_size / sizeof *prog->filter);
    prog->filter = malloc((size_t)st.st_size);
    if (prog->filter && pread(fd, prog->filter, (size_t)st.st_size, 0) == st.st_size)
      r = 0;
  }
  close(fd);
  return r;
}

static int filter_make(unsigned int losses, struct sock_fprog *prog)
{
  scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
  int r = -1;

  errno = ENOMEM;
  if (!ctx)
    return -1;
  seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
  for (size_t i = 0; i < sizeof denied / sizeof *denied; i++)
    if (denied[i].loss == LOSE_ALWAYS || (losses & denied[i].loss))
      if (deny_names(ctx, denied[i].calls) != 0)
        goto done;
  if ((losses & (LOSE_FORK | LOSE_ALL_BUT_HEIRS)) && deny_fork(ctx, losses) != 0)
    goto done;
  if ((losses & LOSE_FAMILIES) && deny_families(ctx) != 0)
    goto done;
  r = export(ctx, prog);
done:
  seccomp_release(ctx);
  return r;
}

static int filter_apply(const struct sock_fprog *prog)
{
  if (SANITIZED)
    return 0;
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, prog) == 0 ? 0 : -1;
}

/* ---- putting a row in force */

static const struct row *row_of(const char *name)
{
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (strcmp(rows[i].name, name) == 0)
      return &rows[i];
  return NULL;
}

static void limits(const struct row *r)
{
  confine_secrecy();
  confine_descriptors(r->descriptors);
  if (!SANITIZED)
    limit(RLIMIT_DATA, r->megabytes * 1048576UL);
}

int confine_program(const char *name, const int *dirs, size_t n)
{
  const struct row *r = row_of(name);
  struct sock_fprog prog = {0, NULL};
  int ruleset, result = -1;

  if (!r || (geteuid() == 0 && !r->may_be_root)) {
    errno = r ? EPERM : EINVAL;
    return -1;
  }
  limits(r);
  /* as root, deliveries may yet have to start programs that change their user */
  if (geteuid() != 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return -1;
  ruleset = r->files == FILES_ANY ? -2 : ruleset_make(r, dirs, n);
  if (ruleset == -1 || (ruleset >= 0 && ruleset_apply(ruleset) != 0))
    return -1;
  if (filter_make(r->denied, &prog) == 0)
    result = filter_apply(&prog);
  free(prog.filter);
  return result;
}

int confine_attempt(void)
{
  struct sock_fprog prog = {0, NULL};
  int ruleset = ruleset_make(&attempt, NULL, 0), result = -1;

  limits(&attempt);
  if (ruleset == -1 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      (ruleset >= 0 && ruleset_apply(ruleset) != 0))
    return -1;
  if (filter_make(attempt.denied, &prog) == 0)
    result = filter_apply(&prog);
  free(prog.filter);
  return result;
}
