/* heir.c - a process that takes its maker's place
 *
 * Runs in stems and attempts. The filter of confine_attempt() lets clone() through with these very
 * flags. CLONE_PARENT makes the spawner the parent of all: it can wait for each by the descriptor
 * that came with it, and nobody in between has to stay.
 *
 * Messages to one peer have one memory between them either way; copying it for each is most of what
 * a message costs. So a successor shares it with its maker, who from there on touches nothing but its own
 * stack, by two system calls, and is gone. The successor's stack is the one that its maker's maker had,
 * when that is gone too: the kernel clears `busy` then. */
#include "deliver/heir.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/confine.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

#define STACK (1UL << 20) /* and a page on which nothing lies, below */
#define PAGE 65536UL      /* the largest there is */

static struct {
  char *low;
  pid_t busy; /* 0: nobody is on it */
} stack[2];
static unsigned int turn;
static pid_t spawner;
static void (*next)(void);

pid_t heir_make(int *process)
{
  pid_t pid;

  spawner = getppid();
#ifdef __s390x__
  pid = (pid_t)syscall(SYS_clone, NULL, CONFINE_HEIR, process, NULL, 0UL);
#else
  pid = (pid_t)syscall(SYS_clone, (unsigned long)CONFINE_HEIR, NULL, process, NULL, 0UL);
#endif
  if (pid != 0)
    return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != spawner)
    _exit(1);
  return 0;
}

static char *free_stack(void)
{
  const struct timespec second = {1, 0};
  pid_t who;

  turn = !turn;
  while ((who = __atomic_load_n(&stack[turn].busy, __ATOMIC_ACQUIRE)) != 0)
    syscall(SYS_futex, &stack[turn].busy, FUTEX_WAIT, who, &second, NULL, 0);
  if (!stack[turn].low) {
    void *p = mmap(NULL, PAGE + STACK, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (p == MAP_FAILED || mprotect(p, PAGE, PROT_NONE) != 0)
      return NULL;
    stack[turn].low = p;
  }
  ASAN_UNPOISON_MEMORY_REGION(stack[turn].low + PAGE, STACK); /* who was on it never returned */
  return stack[turn].low + PAGE + STACK;
}

static int begin(void *arg)
{
  (void)arg;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() == spawner)
    next();
  _exit(1);
}

int heir_follow(void (*go_on)(void), int sock, const void *born, size_t len)
{
  struct iovec io = {(void *)born, len};
  union {
    struct cmsghdr align;
    char space[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct msghdr h = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control.space,
                     .msg_controllen = sizeof control.space};
  struct cmsghdr *c = CMSG_FIRSTHDR(&h);
  int process = -1;
  char *top = free_stack();

  if (!top)
    return -1;
  *c = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
                        .cmsg_len = CMSG_LEN(sizeof(int))};
  spawner = getppid();
  next = go_on;
  stack[turn].busy = 1;
  if (clone(begin, top, CONFINE_SUCCESSOR, NULL, &process, NULL, &stack[turn].busy) < 0) {
    stack[turn].busy = 0;
    return -1;
  }
  memcpy(CMSG_DATA(c), &process, sizeof process);
  syscall(SYS_sendmsg, sock, &h, MSG_NOSIGNAL);
  for (;;)
    syscall(SYS_exit_group, 0);
}
