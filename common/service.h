/* service.h - the services of heloise-smtpd, as table `listen` names them
 *
 * mx and the others run in processes of their own. Pure. RFC 5321 (mx), RFC 6409 (submission), RFC 8314 (submissions), RFC 2033 (lmtp). */
#ifndef COMMON_SERVICE_H
#define COMMON_SERVICE_H

#include <stddef.h>

/* SERVICES(name, word, TLS from the first byte, login needed, completes messages, is LMTP) */
#define SERVICES(X) \
  X(MX, "mx", 0, 0, 0, 0) \
  X(SUBMISSION, "submission", 0, 1, 1, 0) \
  X(SUBMISSIONS, "submissions", 1, 1, 1, 0) \
  X(LMTP, "lmtp", 0, 0, 0, 1)

enum service_number {
#define X(name, word, tls, login, completes, lmtp) SERVICE_##name,
  SERVICES(X)
#undef X
  SERVICE_COUNT
};

struct service {
  enum service_number number;
  const char *word;
  int is_tls_first;  /* TLS before the banner */
  int needs_login;   /* MAIL only after AUTH, or from a client that table access lets relay */
  int completes;     /* adds Date, Message-ID and From where they are missing */
  int is_lmtp;       /* LHLO, and a reply for each recipient after the message */
};

/* the service with this word; NULL when there is none */
const struct service *service_find(const char *word, size_t len);
/* "mx:" and so on: what stands before a network in keys of tables */
const char *service_prefix(const struct service *s);
const struct service *service_row(enum service_number n);

/* a key of table `listen` that is a local socket, "unix:NAME": NAME, else NULL. It names a file
 * in the instance's run directory that is none of ours. */
#define SERVICE_SOCKET "unix:"
#define SERVICE_SOCKET_MAX 40 /* bytes of NAME */
const char *service_socket(const char *key, size_t len);

#endif
