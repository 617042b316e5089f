/* arguments.h - the command line of sendmail(8)
 *
 * Pure. Who calls is hostile. Options are those of sendmail(8); an option that no one here
 * knows is accepted and ignored, as callers expect. */
#ifndef QUEUE_ARGUMENTS_H
#define QUEUE_ARGUMENTS_H

enum arguments_mode { MODE_SUBMIT, MODE_LIST, MODE_ALIASES, MODE_RETRY, MODE_UNKNOWN };

struct arguments {
  enum arguments_mode mode;
  int from_header;  /* -t */
  int dot_is_text;  /* -i, -oi */
  int is_gateway;   /* -G: the header is left alone */
  int is_8bit;      /* -B8BITMIME */
  const char *sender;    /* -f, -r; NULL if not given */
  const char *full_name; /* -F; NULL */
  const char *notify, *ret, *envid; /* -N, -R, -V as given; NULL */
  char **rcpt; /* the rest, NULL-terminated */
};

/* 0, or -1 with *why: what is wrong */
int arguments_parse(struct arguments *a, char **argv, const char **why);

#endif
