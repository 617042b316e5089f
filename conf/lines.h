/* lines.h - control files as text: lines of a key, white space and a value */
#ifndef CONF_LINES_H
#define CONF_LINES_H

#include <stddef.h>
#include <stralloc.h>
#include <sys/types.h>

#define LINES_FILE_MAX (256 * 1024 * 1024)
#define LINES_LINE_MAX 8192

struct line {
  unsigned int number;
  const char *start; /* the whole line, without its end */
  size_t len;
  const char *key, *value; /* keylen is 0 for an empty line and for a comment */
  size_t keylen, valuelen;
};

struct lines {
  const char *at, *end;
  unsigned int number;
};

/* the whole file into text (replaced; bound: LINES_FILE_MAX): 0, or -1 with errno */
int lines_read(int dirfd, const char *name, stralloc *text);
void lines_start(struct lines *l, const stralloc *text);
/* the next line: 1; 0 at the end; -1 with *why when the line is not text (l is then set) */
int lines_next(struct lines *ls, struct line *l, const char **why);

/* replaces a file in one step, flushed: 0, or -1 with errno */
int lines_replace(int dirfd, const char *name, const stralloc *text);
/* the same with a mode other than 0644; the owner and group of a file that is there stay, where
 * we may give it to them */
int lines_replace_as(int dirfd, const char *name, const stralloc *text, mode_t mode);

#endif
