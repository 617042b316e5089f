/* heir.c - a child that takes its parent's place
 *
 * Runs in stems and attempts. The filter of confine_attempt() lets clone() through with these very
 * flags. CLONE_PARENT makes the spawner the parent of all: it can wait for each by the descriptor
 * that came with it, and nobody in between has to stay. */
#include "deliver/heir.h"

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/confine.h"

pid_t heir_make(int *process)
{
  pid_t spawner = getppid(), pid;

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
