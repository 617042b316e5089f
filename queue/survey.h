/* survey.h - what lies in the queue, and what does not belong there
 *
 * Names only are read here; whether a message is whole is verify.h's business. Anybody may have
 * put anything there: links are not followed. */
#ifndef QUEUE_SURVEY_H
#define QUEUE_SURVEY_H

#include "queue/store.h"

enum survey_kind {
  SURVEY_MESSAGE, /* a file with a message's name; whether it is one is not known */
  SURVEY_FOREIGN, /* does not belong here, why says */
  SURVEY_MISSING, /* a directory that is not there */
  SURVEY_CORRUPT, /* put aside before: an entry of corrupt/ */
  SURVEY_LEFT     /* of a submission or a message that was never complete: drop/ and tmp/ */
};

struct survey_entry {
  enum survey_kind kind;
  const char *path, *why;
  struct store_name name; /* SURVEY_MESSAGE */
};

/* calls f for what was found, the directories first; stops when it returns non-zero and returns
 * that. depth 1: only what stands where the queue's directories are, 2: everything. Entries that
 * are as they should be are told only as SURVEY_MESSAGE, SURVEY_CORRUPT and SURVEY_LEFT. -1 when a
 * directory cannot be read */
int survey(int queue_fd, int depth, int (*f)(void *arg, const struct survey_entry *e), void *arg);

/* moves what does not belong where it stands to corrupt/, and makes directories that are missing.
 * path is relative to the queue, of survey_entry. 0, or -1 with errno (ENOENT: it is gone) */
int survey_aside(int queue_fd, const char *path, const char *why);

/* gives a message's file the owner of the queue and mode 0600. 0, or -1 with errno */
int survey_mend(int queue_fd, const char *path);

/* at a start: puts right the queue's directories, so that all of them are there and nothing else
 * is in their place. 0, or -1 with errno */
int survey_tidy(int queue_fd);

#endif
