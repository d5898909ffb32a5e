;;; fimd-watch.el --- Files that other programs change  -*- lexical-binding: t -*-

;; Copyright (C) 2026 The fimd authors

;; SPDX-License-Identifier: Apache-2.0

;;; Commentary:

;; The daemon guesses from the files of the workspace and asks to be told when they change.  As
;; eglot does for its servers, the folders of a project's files are watched, so that a checkout, a
;; formatter or a generator is noticed; what belongs to the project is left to project.el.
;;
;; Where a folder comes, goes or is moved, the project's list of files is asked for again and held
;; against the last one.  Changes are told together, a moment after the first.

;;; Code:

(require 'cl-lib)
(require 'filenotify)
(require 'project)
(require 'fimd-daemon)

(defcustom fimd-watch-limit 1000
  "The most folders in which changes by other programs are noticed.
Each costs the system a watch.  If 0, none are watched."
  :type 'natnum
  :group 'fimd)

(defconst fimd-watch--pause 0.2 "Seconds from the first change until they are told.")

(defvar fimd-watch--folders (make-hash-table :test #'equal) "Watched folders: their watches.")
(defvar fimd-watch--roots nil "Watched roots: a table of the files of each.")
(defvar fimd-watch--changes (make-hash-table :test #'equal) "Files to tell of: the types.")
(defvar fimd-watch--stale nil "Roots in which a folder came or went.")
(defvar fimd-watch--timer nil "Runs when changes are to be told.")

;;;; Telling

(defun fimd-watch--tell ()
  "Tell the daemon what has changed."
  (setq fimd-watch--timer nil)
  (let ((stale fimd-watch--stale))
    (setq fimd-watch--stale nil)
    (mapc #'fimd-watch--compare stale))
  (let (changes)
    (maphash (lambda (file type)
               (push (list :uri (fimd-daemon-file-uri file) :type type) changes))
             fimd-watch--changes)
    (clrhash fimd-watch--changes)
    (when (and changes (fimd-daemon-running-p))
      (fimd-daemon-notify fimd-daemon-connection :workspace/didChangeWatchedFiles
                          (list :changes (vconcat changes))))))

(defun fimd-watch--soon ()
  "Tell what has changed, in a moment."
  (unless fimd-watch--timer
    (setq fimd-watch--timer (run-with-timer fimd-watch--pause nil #'fimd-watch--tell))))

(defun fimd-watch--note (file type)
  "Note that FILE was created, changed or deleted: TYPE is 1, 2 or 3."
  (let ((name (file-name-nondirectory file)))
    ;; Not what editors leave there for themselves.
    (unless (or (backup-file-name-p name) (auto-save-file-name-p name)
                (string-prefix-p ".#" name))
      (puthash file type fimd-watch--changes)
      (fimd-watch--soon))))

(defun fimd-watch--root-of (file)
  "The watched root that FILE is in, with the table of its files, or nil."
  (cl-find-if (lambda (entry) (string-prefix-p (car entry) file)) fimd-watch--roots))

(defun fimd-watch--noticed (file type)
  "Note that FILE, which may be a folder, was changed; TYPE is how."
  (let* ((entry (fimd-watch--root-of file))
         (root (car entry))
         (files (cdr entry))
         (folder (file-name-as-directory file)))
    (cond
     ((not files))
     ((not (or (gethash folder fimd-watch--folders) (file-directory-p file)))
      (if (= type 3) (remhash file files) (puthash file t files))
      (fimd-watch--note file type))
     ((/= type 2)
      ;; It may be empty still, so that no file tells of it.
      (when (and (= type 1) (not (string-prefix-p "." (file-name-nondirectory file))))
        (fimd-watch--folder folder))
      (cl-pushnew root fimd-watch--stale :test #'equal)
      (fimd-watch--soon)))))

(defun fimd-watch--event (event)
  "Take the EVENT of a watch."
  (pcase event
    (`(,_ created ,file) (fimd-watch--noticed file 1))
    (`(,_ changed ,file) (fimd-watch--noticed file 2))
    (`(,_ deleted ,file) (fimd-watch--noticed file 3))
    (`(,_ renamed ,from ,to)
     (fimd-watch--noticed from 3)
     (fimd-watch--noticed to 1))))

;;;; Watching

(defun fimd-watch--folder (folder)
  "Watch FOLDER, if that can be and is not done yet.
Return nil where it is not watched."
  (when (and (not (gethash folder fimd-watch--folders))
             (< (hash-table-count fimd-watch--folders) fimd-watch-limit)
             (file-readable-p folder))
    (condition-case problem
        (puthash folder (file-notify-add-watch folder '(change) #'fimd-watch--event)
                 fimd-watch--folders)
      (file-notify-error
       (fimd-daemon--log (format "not watched: %s" (error-message-string problem)))
       nil))))

(defun fimd-watch--folders-of (file root)
  "Watch the folder of FILE and those between it and ROOT."
  (let ((folder (file-name-directory file)))
    (while (and (string-prefix-p root folder) (not (gethash folder fimd-watch--folders))
                (fimd-watch--folder folder))
      (setq folder (file-name-directory (directory-file-name folder))))))

(defun fimd-watch--gone ()
  "Forget the watches of folders that are not there any more."
  (maphash (lambda (folder watch)
             (unless (and (file-notify-valid-p watch) (file-directory-p folder))
               (file-notify-rm-watch watch)
               (remhash folder fimd-watch--folders)))
           fimd-watch--folders))

(defun fimd-watch--files (root)
  "A table of the files of ROOT, whose folders are watched."
  (let ((files (make-hash-table :test #'equal)))
    (fimd-watch--folder root)
    (dolist (file (ignore-errors (project-files (project-current nil root))))
      (let ((file (expand-file-name file)))
        (puthash file t files)
        (fimd-watch--folders-of file root)))
    files))

(defun fimd-watch--compare (root)
  "Note what files have come to ROOT and gone from it with folders."
  (fimd-watch--gone)
  (when-let* ((entry (assoc root fimd-watch--roots))
              (before (cdr entry))
              (now (fimd-watch--files root)))
    (maphash (lambda (file _) (unless (gethash file now) (fimd-watch--note file 3))) before)
    (maphash (lambda (file _) (unless (gethash file before) (fimd-watch--note file 1))) now)
    (setcdr entry now)))

(defun fimd-watch-root (root)
  "Watch the files of the folder ROOT, a moment from now."
  (unless (or (zerop fimd-watch-limit) (assoc root fimd-watch--roots))
    (push (list root) fimd-watch--roots)
    (run-with-timer
     0.5 nil
     (lambda ()
       (when-let* ((entry (assoc root fimd-watch--roots)))
         (setcdr entry (fimd-watch--files root)))))))

(defun fimd-watch-stop ()
  "Watch nothing any more."
  (maphash (lambda (_ watch) (file-notify-rm-watch watch)) fimd-watch--folders)
  (when fimd-watch--timer
    (cancel-timer fimd-watch--timer))
  (clrhash fimd-watch--folders)
  (clrhash fimd-watch--changes)
  (setq fimd-watch--roots nil
        fimd-watch--stale nil
        fimd-watch--timer nil))

(provide 'fimd-watch)
;;; fimd-watch.el ends here
