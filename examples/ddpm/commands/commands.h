/* The subcommands of ito-ddpm: each takes its own arguments, argv[0] being its name, and returns
 * the program's exit code. */
#ifndef ITO_DDPM_COMMANDS_H
#define ITO_DDPM_COMMANDS_H

int command_train(int argc, char **argv);
int command_sample(int argc, char **argv);
int command_eval(int argc, char **argv);
int command_interpolate(int argc, char **argv);
int command_inpaint(int argc, char **argv);
int command_edit(int argc, char **argv);
int command_encode(int argc, char **argv);
int command_decode(int argc, char **argv);
int command_completion(int argc, char **argv);
int command_compress(int argc, char **argv);
int command_decompress(int argc, char **argv);
int command_export(int argc, char **argv);
int command_classifier(int argc, char **argv);
int command_info(int argc, char **argv);
int command_man(int argc, char **argv);
int command_plot(int argc, char **argv);
int command_prepare(int argc, char **argv);
int command_report(int argc, char **argv);

#endif
