;;; screen-init.el --- The init file of the test on a real screen  -*- lexical-binding: t -*-

;; SPDX-License-Identifier: Apache-2.0

;;; Code:

(setq inhibit-startup-screen t
      make-backup-files nil
      auto-save-default nil
      create-lockfiles nil
      ring-bell-function #'ignore
      fimd-program (getenv "FIMD"))
(menu-bar-mode -1)
;; Ghost text is what is slanted, and nothing else.
(global-font-lock-mode -1)
(require 'fimd)
(add-hook 'prog-mode-hook #'fimd-mode)

;; To the next mark, which goes.
(keymap-global-set "<f5>" (lambda ()
                            (interactive)
                            (search-forward "@@")
                            (delete-char -2)))

;; The daemon's own figure, for the test to read.
(keymap-global-set "<f6>" (lambda ()
                            (interactive)
                            (let ((answer (plist-get
                                           (plist-get (jsonrpc-request fimd-daemon-connection
                                                                       :fimd/status nil)
                                                      :statistics)
                                           :answerMs)))
                              (write-region (format "%.1f %.1f\n" (plist-get answer :p50)
                                                    (plist-get answer :p90))
                                            nil (getenv "FIMD_TEST_FIGURES") nil 'quiet))))

;;; screen-init.el ends here
