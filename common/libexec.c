/* libexec.c - starting a program of ours that belongs to this binary's own place */
#include "common/libexec.h"

#include <errno.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>

#include "common/instance.h"

pid_t libexec_start(const char *program, const char *arg, const struct libexec_fd *fd, size_t n)
{
  static char path[4096];
  char *argv[] = {path, (char *)(uintptr_t)arg, NULL}, *envp[] = {NULL};
  posix_spawn_file_actions_t actions;
  const char *dir = instance_libexec();
  pid_t pid = -1;
  int r;

  if (!dir)
    return -1;
  snprintf(path, sizeof path, "%s/%s", dir, program);
  posix_spawn_file_actions_init(&actions);
  for (size_t i = 0; i < n; i++)
    posix_spawn_file_actions_adddup2(&actions, fd[i].ours, fd[i].theirs);
  r = posix_spawn(&pid, path, &actions, NULL, argv, envp);
  posix_spawn_file_actions_destroy(&actions);
  errno = r;
  return r ? -1 : pid;
}
