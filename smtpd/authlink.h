/* authlink.h - heloise-auth's ends of its channels to heloise-smtpd */
#ifndef SMTPD_AUTHLINK_H
#define SMTPD_AUTHLINK_H

/* the channel to a process of heloise-smtpd ("smtpd", "smtpd.2", ...): the first or one that
 * replaces it. 0, or -1 with errno */
int authlink_channel(const char *peer, int fd);
/* tells all smtpds what may be offered, if that is news to them */
void authlink_offer(void);

#endif
