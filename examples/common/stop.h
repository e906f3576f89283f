/* Stopping by a signal: the first one lets the current step end, the second ends the program. */
#ifndef ITO_DDPM_STOP_H
#define ITO_DDPM_STOP_H

/* From now on SIGINT, SIGTERM and SIGHUP are noted. */
void stop_on_signals(void);
/* The signal that came, or 0. */
int stop_signal(void);

/* Several ranks stop after the same step: from now on stop_signal gives what they agreed on, and
 * SIGUSR1, which mpirun passes on, is noted too. */
void stop_together(void);
/* The signal that came to this process, or 0. */
int stop_requested(void);
/* What all ranks agreed on. */
void stop_agree(int signal_number);

#endif
